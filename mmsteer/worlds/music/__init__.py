"""The music world: clips whose notes, chords, tempo and instrument are known, and the prompts that go with them."""
