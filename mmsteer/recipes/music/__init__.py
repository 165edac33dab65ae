"""Recipes for models that make music: prompts in, audio out, judged by listening."""
