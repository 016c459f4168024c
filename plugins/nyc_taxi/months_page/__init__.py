"""The page *Months*: which months are in which store, and what a month holds.

``app`` has the routes, ``overview`` compares the stores, ``looks`` keeps what they answered, ``runs`` finds the runs of
a month, ``trips`` asks BigQuery about the trips of a month. ``static`` is the page itself, which needs no build step.
``plugins/months.py`` adds it to Airflow's UI.
"""
