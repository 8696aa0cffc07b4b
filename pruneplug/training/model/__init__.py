"""The model that was given to be trained: prepared, lent, copied, and given back."""
