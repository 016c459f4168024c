"""SQLite: one table for each dataset in one file."""
