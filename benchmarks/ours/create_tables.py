"""Create the tables that the yellow month is loaded into: python -m benchmarks.ours.create_tables"""

from __future__ import annotations

import os

import psycopg

from benchmarks.ours.statements import render
from benchmarks.ours.warehouse import Warehouse

if __name__ == "__main__":
    Warehouse().create_tables()
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        connection.execute(render("postgres/create/trip_table.sql"))
