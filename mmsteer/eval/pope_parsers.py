"""Yes or no: how POPE's evaluators in use read an answer. The same text, different scores.

| answer | official | vcd, label yes | vcd, label no | lmms | strict |
|---|---|---|---|---|---|
| Yes. | yes | yes | yes | - | yes |
| no, | no | no | no | - | no |
| NO | yes | no | no | no | no |
| none | yes | no | no | - | - |
| isn't | yes | no | yes | - | - |
| (empty) | yes | no | yes | - | - |
| I know | yes | no | no | - | - |
| snow | yes | no | no | - | - |
| **Yes** | yes | yes | yes | - | yes |
| Yes, there are no cracks | no | yes | no | - | yes |
| <think>no</think> Yes. | yes | yes | no | - | yes |
| Nein, keiner. | yes | no | yes | - | no |

A dash is unparsed: counted, never guessed. `official` never has one, so a model that breaks down answers yes there.
`vcd` must know the label, and so leaks it: an answer with both words is always right, and so is "snow" where no is.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answer_words import NO, YES, Decision, final_answer, leading_word

_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)?")
# A yes or no that is not the first word counts where it stands alone: "The answer is no." but not "with no hat".
_ALONE = re.compile(r"\b(yes|no)\b\W*(?=$|[.,;:!?*\"')\]\n])")
_IDIOMS = re.compile(r"\bno (?:idea|clue|doubt|one|wonder)\b")


def parse_answer(text: str, parser: str = "strict", label: str | None = None) -> Decision | None:
    """What an answer says; None where it cannot be told.

    Args:
        text: The answer as the model gave it.
        parser: `official`, `vcd`, `lmms` or `strict`.
        label: What is right, yes or no: `vcd` looks for that word alone.

    Raises:
        EvalError: There is no such parser, or `vcd` is not told the label.

    Source: the evaluation scripts of RUCAIBox/POPE, DAMO-NLP-SG/VCD and EvolvingLMMs-Lab/lmms-eval.

    >>> parse_answer("None that I can see", "official"), parse_answer("None that I can see", "strict")
    ('yes', None)
    """
    if parser not in PARSERS:
        raise EvalError(f"no parser {clip(parser)}; choose from {', '.join(PARSERS)}")
    return PARSERS[parser](text, label)


def _official(text: str, label: str | None) -> Decision:
    words = text.split(".")[0].replace(",", "").split(" ")
    return NO if {"No", "not", "no"} & set(words) else YES


def _vcd(text: str, label: str | None) -> Decision:
    if label not in (YES, NO):
        raise EvalError("the parser vcd looks for the right answer alone; tell it the label, yes or no")
    text = text.lower()
    if label == YES:
        return YES if YES in text else NO
    return NO if NO in text else YES


def _lmms(text: str, label: str | None) -> Decision | None:
    return _exactly(text.lower().strip())


def _strict(text: str, label: str | None) -> Decision | None:
    text = _IDIOMS.sub(" ", final_answer(text).lower())
    words = set(_WORD.findall(text))
    alone = set(_ALONE.findall(text))
    first = leading_word(text)
    if first is None:
        return _exactly(alone.pop()) if len(alone) == 1 else None
    # "Yes, there are no cracks" says yes; "Yes and no." and "No. Yes, wait." say neither.
    contradicted = NO in alone if first == YES else YES in words
    return None if contradicted else first


def _exactly(word: str) -> Decision | None:
    return YES if word == YES else NO if word == NO else None


PARSERS: Mapping[str, Callable[[str, str | None], Decision | None]] = MappingProxyType(
    {"strict": _strict, "official": _official, "vcd": _vcd, "lmms": _lmms}
)
"""Each takes the answer and the label, to yes, no or None."""
