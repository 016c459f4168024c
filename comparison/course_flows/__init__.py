"""The flows of the 2023 course in its own style: pandas frames, ``to_gbq``, no partitions.

Rewritten with today's Prefect and pandas. The steps are also the baselines of ``benchmarks/``.
"""
