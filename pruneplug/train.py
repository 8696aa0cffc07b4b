"""`python -m pruneplug.train`: train and prune a model, or sweep over settings."""

from pruneplug.command.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
