"""Sparse dictionaries on a model: what their features say, what steering them does, which of them to steer."""
