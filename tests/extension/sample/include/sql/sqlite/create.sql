CREATE TABLE IF NOT EXISTS {{ dataset.table }} (
    {%- for column in dataset.columns %}
    "{{ column.name }}" {{ sqlite_type(column) }}{{ "," if not loop.last }}
    {%- endfor %}
);

CREATE TABLE IF NOT EXISTS loaded_files (
    file_name text PRIMARY KEY,
    made_from text NOT NULL,
    published_at text NOT NULL
);
