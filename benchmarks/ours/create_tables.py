"""Create the tables that the yellow month is loaded into: python -m benchmarks.ours.create_tables"""

from __future__ import annotations

import os

import psycopg

from benchmarks.ours.load import LOAD
from benchmarks.ours.warehouse import Warehouse

if __name__ == "__main__":
    Warehouse().create_tables()
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        connection.execute(LOAD.render("postgres/create/trip_table.sql"))
