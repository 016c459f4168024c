{#- The marks on a published table, which are lines of its comment: what the rows were made from, and when the source
    sent that. Of two downloads, the later one is newer.

    Refuses to replace rows that were made from a newer download. Publishes take turns, so nothing changes between this
    comparison and the replacement. Rows whose download is not known are replaced. A mark that is later than its own
    publish, by more than clocks may differ, is of a clock that was ahead; then the time of the publish decides. #}
{%- macro refuse_older(target, downloaded_at) %}
{%- if downloaded_at %}
    DECLARE
        published text := obj_description(to_regclass('public.{{ target }}'), 'pg_class');
        published_at timestamptz := substring(published FROM '(?n)^published at ([0-9T:.+-]+)$');
        newest timestamptz := substring(published FROM '(?n)^downloaded at ([0-9T:.+-]+)$');
    BEGIN
        IF newest > published_at + interval '5 minutes' THEN
            newest := published_at;
        END IF;
        IF starts_with(published, 'published from ') AND newest > '{{ downloaded_at }}' THEN
            RAISE EXCEPTION USING MESSAGE = format(
                'overtaken by a newer download of the source: %s was made from the download of %s, this run''s is of %s',
                '{{ target }}',
                to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
                '{{ downloaded_at }}'
            );
        END IF;
    END;
{%- endif %}
{%- endmacro %}

{#- Writes the marks, below which come those that the staging table was loaded with; they are on the table `marked`. #}
{%- macro mark(target, staging, marked, downloaded_at) %}
    EXECUTE format(
        'COMMENT ON TABLE public.{{ target }} IS %L',
        concat_ws(
            E'\n',
            'published from {{ staging }}',
            'published at ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'),
{%- if downloaded_at %}
            'downloaded at {{ downloaded_at }}',
{%- endif %}
            obj_description('{{ marked }}'::regclass, 'pg_class')
        )
    );
{%- endmacro %}
