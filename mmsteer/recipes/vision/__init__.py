"""Recipes for models that see: images in, captions and answers out, judged against what is there."""
