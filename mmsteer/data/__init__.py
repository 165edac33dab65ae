"""What the project renders itself: the music world, labelled concepts, SynTheory, scenes and contrasts."""
