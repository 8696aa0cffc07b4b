"""Compiled calls that run many steps, and where they stop."""
