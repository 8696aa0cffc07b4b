"""Where batches come from, and how to get back to one of them."""
