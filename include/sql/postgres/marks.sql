{#- The marks on a published table, which are lines of its comment: what the rows were made from, and when the source
    last had that. Of two downloads, the later one is newer.

    Whoever compares or writes marks has the turn of the table's publishes, so nothing changes meanwhile. A mark is
    never written later than now, by more than clocks may differ: the worker's clock was ahead then, and the server's
    decides. So a mark that is later than now was written while the server's clock was ahead, too. It keeps nothing
    out.

    A run's own download that is later than now is of a clock that was ahead, too. Then the run's start counts in its
    place, which the scheduler's clock gives, and which was earlier. If that is later than now as well, nothing is known
    of the run, and what is published stays. #}

{#- Begins a block with what the comment of the published rows says: `published`, all of it, and `newest`, the mark. #}
{%- macro declare_published(target) %}
DECLARE
    published text := obj_description(to_regclass('public.{{ target }}'), 'pg_class');
    newest timestamptz := (
        SELECT written
        FROM (VALUES (substring(published FROM '(?n)^downloaded at ([0-9T:.+-]+)$')::timestamptz)) AS mark (written)
        WHERE starts_with(published, 'published from ') AND written <= clock_timestamp() + interval '5 minutes'
    );
{%- endmacro %}

{#- Refuses to replace rows that were made from a newer download. Rows whose download is not known are replaced. So
    are those that this run has published in a try that was killed: they are no newer. #}
{%- macro refuse_older(target, staging, downloaded_at, run_started_at) %}{{ declare_published(target) | indent }}
        own timestamptz := nullif('{{ downloaded_at }}', '')::timestamptz;
        started timestamptz := nullif('{{ run_started_at }}', '')::timestamptz;
        latest timestamptz := clock_timestamp() + interval '5 minutes';
    BEGIN
        IF newest > own THEN
            RAISE EXCEPTION USING MESSAGE = format(
                'overtaken by a newer download of the source: %s was made from the download of %s, this run''s is of %s',
                '{{ target }}',
                to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
                '{{ downloaded_at }}'
            );
        END IF;
        IF own > latest
            AND newest > (CASE WHEN started <= latest THEN started ELSE '-infinity' END)
            AND split_part(published, E'\n', 1) <> 'published from {{ staging }}'
        THEN
            RAISE EXCEPTION USING MESSAGE = format(
                'the worker''s clock was ahead, so this run''s download may be the older one: %s was made from the '
                'download of %s; this run started at %s, and its download is of %s, which is later than now',
                '{{ target }}',
                to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
                '{{ run_started_at or "an unknown time" }}',
                '{{ downloaded_at }}'
            );
        END IF;
    END;
{%- endmacro %}

{#- The line that says when the source had what the rows were made from; NULL if that is not known. #}
{%- macro downloaded_line(time) %}
            (
                SELECT
                    'downloaded at ' || to_char(
                        CASE WHEN own > clock_timestamp() + interval '5 minutes' THEN clock_timestamp() ELSE own END
                        AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'
                    )
                FROM (VALUES (nullif('{{ time }}', '')::timestamptz)) AS worker (own)
            )
{%- endmacro %}

{#- Writes the marks, below which come those that the staging table was loaded with; they are on the table `marked`.
    The line that names the run which has loaded it is left out. #}
{%- macro mark(target, staging, marked, downloaded_at) %}
    EXECUTE format(
        'COMMENT ON TABLE public.{{ target }} IS %L',
        concat_ws(
            E'\n',
            'published from {{ staging }}',
            'published at ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'),{{ downloaded_line(downloaded_at) }},
            nullif(regexp_replace(obj_description('{{ marked }}'::regclass, 'pg_class'), '^staged by [^\n]*\n?', ''), '')
        )
    );
{%- endmacro %}

{#- Tells the client that this statement has published the rows of the table `stored`, and their bytes. At the level
    INFO, which no setting of the client or the server turns off. #}
{%- macro tell(stored) %}
    RAISE INFO 'published % bytes', pg_table_size('{{ stored }}');
{%- endmacro %}
