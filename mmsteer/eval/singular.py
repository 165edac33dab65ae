"""Singular and plural of English nouns, as far as the names of the 80 COCO classes need them.

Three ways to know that "buses" speaks of a bus: strip endings as pattern.en does, wrongly where it does it wrongly;
look the stripped forms up as WordNet's morphy does; or write down the plurals of the known words, and strip nothing.
"""

from collections.abc import Callable, Collection

VOWELS = "aeiou"

# pattern.en, first match wins. Rules that cannot touch a class name or make one are left out.
_PATTERN_KEPT = ("scissors", "collies", "doggies")
_PATTERN_ENDINGS = (
    *(("children", "child"), ("people", "person"), ("men", "man"), ("geese", "goose"), ("oxen", "ox")),
    *(("mice", "mouse"), ("oes", "o"), ("buses", "bus")),
    *((f"{ending}es", ending) for ending in ("x", "ch", "ss", "sh")),
    *((f"{letter}ies", f"{letter}y") for letter in "bcdfghjklmnpqrstvwxz"),
    *(("alves", "alf"), ("nives", "nife"), ("s", "")),
)

_MORPHY_ENDINGS = (
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)
_MORPHY_EXCEPTIONS = {
    **{"buffaloes": "buffalo", "busses": "bus", "calves": "calf", "children": "child", "flamingoes": "flamingo"},
    **{"geese": "goose", "grandchildren": "grandchild", "knives": "knife", "men": "man", "mice": "mouse"},
    **{"oxen": "ox", "pocketknives": "pocketknife"},
}
# WordNet has them as nouns of their own, no longer than the singular: "men" is the work force, "vas" a vessel.
_MORPHY_TRAPS = frozenset({"men", "vas"})

_IRREGULAR_ENDINGS = (
    *(("man", "men"), ("child", "children"), ("goose", "geese"), ("mouse", "mice"), ("ox", "oxen")),
    *(("calf", "calves"), ("knife", "knives"), ("thief", "thieves"), ("bus", "busses")),
)


def pattern_singular(word: str) -> str:
    """What pattern.en makes of a word: it takes every final s for a plural.

    >>> [pattern_singular(word) for word in ("buses", "bus", "glass", "ties", "canoes")]
    ['bus', 'bu', 'glas', 'ty', 'cano']
    """
    if word.endswith(_PATTERN_KEPT):
        return word
    for ending, singular in _PATTERN_ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + singular
    return word


def wordnet_singular(nouns: Collection[str]) -> Callable[[str], str]:
    """What NLTK's lemmatiser makes of a word that it takes for a noun: the shortest form that WordNet has.

    `nouns`: the nouns it should know; they stand for WordNet's index.

    >>> lemma = wordnet_singular({"bus", "man", "vase"})
    >>> [lemma(word) for word in ("buses", "bus", "men", "vases")]
    ['bus', 'bus', 'men', 'vas']
    """
    known = frozenset(nouns) | _MORPHY_TRAPS

    def singular(word: str) -> str:
        exception = _MORPHY_EXCEPTIONS.get(word)
        stripped = [word.removesuffix(end) + new for end, new in _MORPHY_ENDINGS if word.endswith(end)]
        forms = [word, exception] if exception else [word, *stripped]
        return min((form for form in forms if form in known), key=len, default=word)

    return singular


def noun_forms(noun: str) -> tuple[str, ...]:
    """A noun or compound, and the ways in which its plural is written.

    >>> noun_forms("wine glass"), noun_forms("bus")
    (('wine glass', 'wine glasses'), ('bus', 'buses', 'busses'))
    """
    irregular = [noun.removesuffix(end) + plural for end, plural in _IRREGULAR_ENDINGS if noun.endswith(end)]
    return (noun, *_regular_plurals(noun), *irregular)


def _regular_plurals(noun: str) -> tuple[str, ...]:
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return (f"{noun}es",)
    if noun.endswith("y") and noun[-2:-1] not in VOWELS:
        return (f"{noun[:-1]}ies",)
    return (f"{noun}s", f"{noun}es") if noun.endswith("o") else (f"{noun}s",)
