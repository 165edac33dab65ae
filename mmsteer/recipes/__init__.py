"""A recipe file → a checked recipe → a run folder."""
