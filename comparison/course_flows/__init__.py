"""The flows of the 2023 course, in its style: pandas frames, ``to_gbq``, no partitions. The baseline.

Written anew, with today's Prefect and pandas. Its steps are also the baseline of ``benchmarks/``.
"""
