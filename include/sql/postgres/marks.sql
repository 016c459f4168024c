{#- The marks on a published table, which are lines of its comment: what the rows were made from, and when the source
    sent that. Of two downloads, the later one is newer; a mark in the future is of a clock that was wrong, and ignored.

    Refuses to replace rows that were made from a newer download. Publishes take turns, so nothing changes between this
    comparison and the replacement. Rows whose download is not known are replaced. #}
{%- macro refuse_older(target, downloaded_at, force) %}
{%- if downloaded_at and not force %}
    DECLARE
        published text := obj_description(to_regclass('public.{{ target }}'), 'pg_class');
        newest timestamptz := substring(published FROM '(?n)^downloaded at ([0-9T:.+-]+)$');
    BEGIN
        IF starts_with(published, 'published from ') AND newest > '{{ downloaded_at }}'
            AND newest <= now() + interval '5 minutes' THEN
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
