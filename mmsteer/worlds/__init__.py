"""Rendered worlds whose truth is known: music and scenes, the models trained on them, and their fitted judges."""
