"""Building blocks of the DAG files: default arguments, schedules, parameters, assets, macros and shared tasks."""
