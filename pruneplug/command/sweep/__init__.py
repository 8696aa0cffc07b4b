"""Sweeps: which jobs are done, the run in MLflow that holds them together, and their table.

Nothing is imported here: a single run needs none of it.
"""
