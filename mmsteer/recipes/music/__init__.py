"""The rendered music in recipes: clips, prompts whose truth is known, and a target for each condition."""
