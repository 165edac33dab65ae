"""What the outputs of a run come from."""
