"""What DAG files are built from: arguments, schedules, parameters, assets, macros."""
