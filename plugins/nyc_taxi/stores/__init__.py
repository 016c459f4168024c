"""Where months are kept: the lake, BigQuery and Postgres, a folder each."""
