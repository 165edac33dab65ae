"""Rows and prompts of any source as the task of a recipe: generated from, and scored by name."""
