"""A dbt project on the warehouse; docs/dbt.md describes it."""
