"""Prompts of the rendered music world: varied English that names some attributes, never the pitch."""

from collections.abc import Mapping

import numpy as np

STATABLE = ("instrument", "tempo", "register", "mode", "texture")
# How often a prompt names each attribute; independent draws, so every combination occurs.
STATED_SHARE = 0.7
FILLER_SHARE = 0.25

# Words for the values of each attribute; the first is the plain one.
WORDS: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano", "grand piano"),
    "marimba": ("marimba", "wooden marimba"),
    "organ": ("organ", "church organ"),
    "flute": ("flute", "solo flute"),
    "strings": ("strings", "string ensemble"),
    "bell": ("bell", "bells"),
    "guitar": ("guitar", "acoustic guitar"),
    "clarinet": ("clarinet", "solo clarinet"),
    "slow": ("slow", "calm slow", "unhurried"),
    "medium": ("medium", "moderate", "medium speed"),
    "fast": ("fast", "quick", "rapid"),
    "low": ("low", "deep"),
    "middle": ("middle", "mid"),
    "high": ("high", "high pitched"),
    "major": ("major", "happy major"),
    "minor": ("minor", "sad minor"),
    "augmented": ("augmented",),
    "diminished": ("diminished",),
    "melody": ("melody", "tune", "line"),
    "arpeggio": ("arpeggio", "broken chord"),
    "chords": ("chords", "block chords"),
    "drone": ("drone", "bass drone"),
}
PLAIN_NOUNS = ("music", "piece", "recording", "sound", "clip", "")
FILLERS = (
    "a recording of",
    "simple",
    "beautiful",
    "gentle",
    "please play",
    "studio",
    "a short",
    "clean",
    "solo",
)
_PLAIN_WORD_SHARE = 0.7


def write_prompt(rng: np.random.Generator, said: Mapping[str, str]) -> str:
    """A prompt that says exactly what it is given.

    Args:
        rng: Source of the wording.
        said: Some of the attributes in `STATABLE`, and `drone`, each with its word in `WORDS`.
    """
    words = {attribute: _word(rng, value) for attribute, value in said.items()}
    noun = words.get("texture") or str(rng.choice(PLAIN_NOUNS))
    style = _STYLES[rng.integers(len(_STYLES))]
    text = style(rng, words, noun)
    if "drone" in words:
        text += f" over a soft {words['drone']}"
    if rng.random() < FILLER_SHARE:
        text = f"{rng.choice(FILLERS)} {text}"
    return " ".join(text.split()).strip(" ,")


def _word(rng: np.random.Generator, value: str) -> str:
    plain, *others = WORDS[value]
    if not others or rng.random() < _PLAIN_WORD_SHARE:
        return plain
    return str(rng.choice(others))


def _phrase(rng: np.random.Generator, words: Mapping[str, str], noun: str) -> str:
    """Such as `slow minor piano melody in the low register`."""
    front = [words.get(key, "") for key in ("tempo", "mode", "instrument")]
    return " ".join([*front, noun, _register(rng, words)])


def _sentence(rng: np.random.Generator, words: Mapping[str, str], noun: str) -> str:
    """Such as `a slow melody played on the piano in a minor key, low register`."""
    player = f"{rng.choice(['played on', 'on', 'for'])} the {words['instrument']}" if "instrument" in words else ""
    key = f"in a {words['mode']} key" if "mode" in words else ""
    return " ".join(["a", words.get("tempo", ""), noun, player, key, _register(rng, words)])


def _listing(rng: np.random.Generator, words: Mapping[str, str], noun: str) -> str:
    """Such as `piano, low register, slow tempo, minor, melody`."""
    parts = [_tagged(key, words[key]) for key in ("instrument", "tempo", "register", "mode") if key in words]
    parts.append(noun)
    rng.shuffle(parts)
    return ", ".join(part for part in parts if part)


def _performance(rng: np.random.Generator, words: Mapping[str, str], noun: str) -> str:
    """Such as `the piano plays a slow minor melody in the low register`."""
    player = words.get("instrument", rng.choice(["somebody", "an instrument"]))
    return f"{player} playing {words.get('tempo', '')} {words.get('mode', '')} {noun} {_register(rng, words)}"


def _register(rng: np.random.Generator, words: Mapping[str, str]) -> str:
    if "register" not in words:
        return ""
    return str(rng.choice(["in the {} register", ", {} register", ", {}"])).format(words["register"])


def _tagged(key: str, word: str) -> str:
    return {"tempo": f"{word} tempo", "register": f"{word} register"}.get(key, word)


_STYLES = (_phrase, _sentence, _listing, _performance)
