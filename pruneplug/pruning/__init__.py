"""The core: which weights are kept, when that changes, and how a model keeps to it."""
