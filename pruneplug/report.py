"""`python -m pruneplug.report RUNS`: compare runs, from their folder or from MLflow."""

import sys

from pruneplug.command.report import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
