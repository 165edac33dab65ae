"""Sparse dictionaries on a model: what their features promote, what steering them does, which of them to steer."""
