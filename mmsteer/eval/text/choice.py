"""The option that a written answer to a multiple-choice question gives."""

import re
from collections.abc import Sequence

from mmsteer.errors import EvalError
from mmsteer.eval.text.matching import normalise_answer
from mmsteer.eval.text.reference import Reference

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKUP = re.compile(r"[*_`$]|\\boxed|\\text")
_ALONE = re.compile(r"^\W*(?:option |choice |answer )?([A-Z])\W*$", re.I)
_LABEL = re.compile(r"^\s*(?:[(\[{]([A-Z])[)\]}]|([A-Z])\s?[).:]+(?=\s))", re.I)
_LETTER = r"(?:[(\[{]([A-Za-z])[)\]}]|([B-HJ-Z])\b(?!['’])|([AI])(?=[.,;:!)]|$|\n| because| since| as ))"
_STATED = (
    re.compile(rf"(?i:\banswer(?: is|:| would be| should be| must be)(?: option| choice| letter)?)\s*:?\s*{_LETTER}"),
    re.compile(rf"(?i:\b(?:option|choice|choose|pick|select))\s*{_LETTER}"),
    re.compile(r"[(\[{]([A-Z])[)\]}]|\b([B-HJ-Z])\b is (?:the )?(?:right|correct|best)"),
)


def parse_choice(answer: str, options: Sequence[str]) -> int | None:
    """The place of the option that an answer gives, from 0; None where it gives none or more than one.

    The first of these that the answer has: it is one letter ("B", "(b)"); it begins with a label ("B) Paris"); it
    states one ("the answer is B"), chooses one ("option C") or has one in brackets, where two different ones are no
    answer; it has the text of exactly one option, as whole words and not after "not", "isn't" or "never". An option
    that is part of a longer one found is not counted. The option's words are compared after `normalise_answer`.

    Args:
        answer: What the model wrote.
        options: The options in the order of their letters.

    Raises:
        EvalError: There are fewer than 2 options, more than 26, or two that are the same.

    >>> options = ["London", "Paris"]
    >>> [parse_choice(text, options) for text in ("B", "The answer is (A).", "It is Paris.", "London or Paris")]
    [1, 0, 1, None]
    """
    check_options(options)
    plain = _MARKUP.sub("", answer).strip()
    for pattern in (_ALONE, _LABEL):
        if match := pattern.match(plain):
            return _place(match, len(options))
    for pattern in _STATED:
        if found := {_place(match, len(options)) for match in pattern.finditer(plain)} - {None}:
            return found.pop() if len(found) == 1 else None
    return _by_text(plain, options)


def right_option(reference: Reference) -> int | None:
    """The place of the right option; None where the reference has no options or no answer.

    `reference`: its answer is the text of an option or, where it is no option's, a letter.

    Raises:
        EvalError: The answer is neither.
    """
    options, answer = reference.options, reference.answer
    if not options or answer is None:
        return None
    check_options(options)
    if answer in options:
        return options.index(answer)
    place = LETTERS.find(answer.strip()) if len(answer.strip()) == 1 else -1
    if not 0 <= place < len(options):
        raise EvalError(f"the right answer {answer!r} is none of {', '.join(map(repr, options))} and no letter of them")
    return place


def check_options(options: Sequence[str]) -> None:
    """Refuse options that no answer could be read against.

    Raises:
        EvalError: There are fewer than 2, more than 26, or two that are the same.
    """
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise EvalError(f"options {', '.join(map(repr, options)) or 'missing'}; give 2 to 26 different ones")


def _place(match: re.Match[str], n: int) -> int | None:
    letter = next(group for group in match.groups() if group)
    place = LETTERS.index(letter.upper())
    return place if place < n else None


def _by_text(answer: str, options: Sequence[str]) -> int | None:
    said = f" {normalise_answer(answer)} "
    texts = [normalise_answer(option) for option in options]
    found = {place: text for place, text in enumerate(texts) if text and _stands(text, said)}
    longest = [
        place
        for place, text in found.items()
        if not any(f" {text} " in f" {other} " != f" {text} " for other in found.values())
    ]
    return longest[0] if len(longest) == 1 else None


def _stands(text: str, said: str) -> bool:
    return re.search(rf"(?<! not)(?<! isnt)(?<! never) {re.escape(text)} ", said) is not None
