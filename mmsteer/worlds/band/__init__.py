"""The band world: eight-second clips of chords, progressions and scales over bass and drums, and their prompts."""
