"""The command: settings, data and networks, one run or a sweep, and the comparison of runs."""
