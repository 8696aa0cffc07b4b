"""Families of figures: each module measures one in a process of its own."""
