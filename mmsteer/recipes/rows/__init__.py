"""Recipes on rows of one's own: a model of any kind, prompts and truth from a file, scorers by name."""
