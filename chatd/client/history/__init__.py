"""The history: what was sent and received, on disk and to be searched."""
