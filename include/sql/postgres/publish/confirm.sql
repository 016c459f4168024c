-- Raises the mark that says when the source had what the published rows were made from, if they are still those that
-- were published at {{ published_at or "an unknown time" }}. It is never lowered.
{%- from "postgres/locks.sql" import lock_table, lock_variables, name_holders, take_turn %}
{%- from "postgres/marks.sql" import declare_published, downloaded_line %}
DO $confirm$
DECLARE
    {{- lock_variables() }}
BEGIN
    {{- take_turn("publish." ~ dataset.table) }}
    {{- declare_published(target) | indent }}
    BEGIN
        IF starts_with(published, 'published from ') IS NOT TRUE
            OR substring(published FROM '(?n)^published at ([0-9T:.+-]+)$')::timestamptz
            IS DISTINCT FROM {{ "timestamptz '" ~ published_at ~ "'" if published_at else "NULL" }}
        THEN
            RAISE EXCEPTION 'replaced meanwhile: {{ target }}';
        END IF;
        IF newest >= '{{ seen_at }}' THEN
            RETURN;
        END IF;
        {{- lock_table("public." ~ target, "SHARE UPDATE EXCLUSIVE") | indent }}
        EXECUTE format(
            'COMMENT ON TABLE public.{{ target }} IS %L',
            (
                SELECT concat_ws(
                    E'\n',
                    split_part(published, E'\n', 1),
                    {{- downloaded_line(seen_at) | indent(8) }},
                    string_agg(line, E'\n' ORDER BY place)
                )
                FROM unnest(string_to_array(published, E'\n')) WITH ORDINALITY AS lines (line, place)
                WHERE place > 1 AND NOT starts_with(line, 'downloaded at ')
            )
        );
    END;
{{- name_holders() }}
END
$confirm$;
