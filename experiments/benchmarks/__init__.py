"""Measures pruneplug against its peers: `python -m experiments.benchmarks --quick` or `--full`."""
