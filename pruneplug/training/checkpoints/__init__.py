"""All that decides how a run goes on, on disk and back."""
