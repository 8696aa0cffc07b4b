"""`python -m pruneplug.sync <folder>...`: send to MLflow what it lacks of runs on disk."""

import sys

from pruneplug.command.sync import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
