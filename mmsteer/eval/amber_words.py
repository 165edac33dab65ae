"""AMBER's vocabulary of objects, found in a response.

The reference tags parts of speech with NLTK and lemmatises with WordNet. Here a word counts when it is a word of the
vocabulary or its plural, whatever its part of speech or case: "men" and "People" count, which the reference loses, and
so do "orange" and "light" as adjectives, which are safe words anyhow.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answers import read_json, read_text

Similarity = Callable[[str, str], bool]

IRREGULAR = MappingProxyType(
    {
        "man": "men",
        "woman": "women",
        "child": "children",
        "mouse": "mice",
        "goose": "geese",
        "knife": "knives",
        "shelf": "shelves",
        "bookshelf": "bookshelves",
        "scarf": "scarves",
        "snowman": "snowmen",
    }
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The objects that AMBER knows.

    Attributes:
        associations: For each object the words that name it too, or what it implies.
        safe: Words that are never a hallucination, though they count as mentions.
        forms: Every form of every word, in lower case, to the word.
    """

    associations: Mapping[str, tuple[str, ...]]
    safe: frozenset[str]
    forms: Mapping[str, str]

    @classmethod
    def of(cls, associations: Mapping[str, Sequence[str]], safe: Sequence[str]) -> "Vocabulary":
        """The vocabulary of these words."""
        words = dict.fromkeys([*associations, *(word for others in associations.values() for word in others)])
        plurals = {form: word for word in words for form in plural_forms(word.lower())}
        # A word of the vocabulary is itself, even where it is another's plural.
        forms = plurals | {word.lower(): word for word in words}
        return cls({word: tuple(others) for word, others in associations.items()}, frozenset(safe), forms)

    def nouns(self, text: str) -> list[str]:
        """The words of the vocabulary that a text mentions, in order, repeats kept."""
        found = (self.forms.get(part) for word in _WORD.findall(text.lower()) for part in self._parts(word))
        return [word for word in found if word is not None]

    def _parts(self, word: str) -> list[str]:
        return [word] if word in self.forms else word.split("-")

    def others(self, word: str) -> tuple[str, ...]:
        """The associations of an annotated object.

        Raises:
            EvalError: The vocabulary does not have it.
        """
        if word not in self.associations:
            raise EvalError(f"the associations lack the annotated object {clip(word)}; give the relation.json of AMBER")
        return self.associations[word]


def read_vocabulary(relation: str | Path, safe_words: str | Path) -> Vocabulary:
    """The vocabulary of AMBER's published files.

    `relation`: `relation.json`.
    `safe_words`: `safe_words.txt`, one word a line.

    Raises:
        EvalError: A file cannot be read or holds something else.
    """
    associations = read_json(relation)
    if not isinstance(associations, dict) or not all(is_words(others) for others in associations.values()):
        raise EvalError(f"{relation}: the associations of AMBER are a JSON object of lists of words; this is not one")
    return Vocabulary.of(associations, read_text(Path(safe_words)).split())


def plural_forms(word: str) -> tuple[str, ...]:
    """The plurals that a noun may take.

    `word`: A noun in the singular, in lower case.

    >>> plural_forms("berry"), plural_forms("box"), plural_forms("knife"), plural_forms("tomato")
    (('berries',), ('boxes',), ('knives',), ('tomatoes', 'tomatos'))
    """
    if word in IRREGULAR:
        return (IRREGULAR[word],)
    if re.search(r"[^aeiou]y$", word):
        return (word[:-1] + "ies",)
    if re.search(r"(s|x|z|ch|sh)$", word):
        return (word + "es",)
    return (word + "es", word + "s") if word.endswith("o") else (word + "s",)


def same_word(one: str, other: str) -> bool:
    """The similarity that takes only the same word."""
    return one == other


def spacy_similarity(model: str = "en_core_web_lg", threshold: float = 0.8) -> Similarity:
    """The reference's similarity: word vectors of spaCy, which the user installs.

    `model`: a model of spaCy with word vectors; smaller ones give other numbers.

    Raises:
        EvalError: spaCy or the model is not installed.
    """
    try:
        import spacy

        pipeline = spacy.load(model)
    except (ImportError, OSError):
        raise EvalError(
            f"spaCy's {model} is not installed; `pip install spacy` and `python -m spacy download {model}`, "
            "or leave the similarity at exact"
        ) from None
    return lambda one, other: bool(pipeline(one).similarity(pipeline(other)) > threshold)


def is_words(value: object) -> bool:
    """Whether a value of JSON is a list of strings."""
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
