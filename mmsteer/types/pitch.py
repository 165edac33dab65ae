"""The twelve pitch classes, as every part of mmsteer writes them."""

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
