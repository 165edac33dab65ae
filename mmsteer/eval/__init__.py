"""Outputs and truth become scores: from the audio alone, or from what a caption or an answer says."""
