"""What part of an answer is the answer, and its first word in one of several languages."""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Decision = Literal["yes", "no"]
YES: Final = "yes"
NO: Final = "no"

WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "ar": (("نعم",), ("لا", "كلا")),
        "de": (("ja", "jawohl"), ("nein", "nö")),
        "en": (("yes", "yeah", "yep", "yup"), ("no", "nope", "nah")),
        "es": (("sí", "si"), ("no",)),
        "fr": (("oui",), ("non",)),
        "hi": (("हाँ", "हां", "जी हाँ"), ("नहीं", "जी नहीं")),
        "id": (("ya",), ("tidak",)),
        "it": (("sì", "si"), ("no",)),
        "ja": (("はい", "ええ"), ("いいえ", "いえ")),
        "ko": (("네", "예"), ("아니요", "아니오")),
        "nl": (("ja",), ("nee",)),
        "pl": (("tak",), ("nie",)),
        "pt": (("sim",), ("não", "nao")),
        "ru": (("да",), ("нет",)),
        "sv": (("ja",), ("nej",)),
        "tr": (("evet",), ("hayır", "hayir")),
        "vi": (("có", "vâng"), ("không",)),
        "zh": (("是", "是的", "有", "对", "對"), ("否", "不", "不是", "没有", "沒有")),
    }
)
"""Yes and no by language. No word is a yes in one and a no in another."""

_SAID: tuple[Decision, Decision] = (YES, NO)
_BY_WORD: Mapping[str, Decision] = {
    word: said for pairs in WORDS.values() for said, words in zip(_SAID, pairs, strict=True) for word in words
}

# Some templates open the thinking themselves, so that the answer holds the closing tag alone.
_NAMES = r"(?:think|thinking|thought|reasoning|analysis|seed:think)"
_THOUGHT = re.compile(rf"</{_NAMES}>|\[/THINK\]|<\|END_THINKING\|>", re.IGNORECASE)
_THINKING = re.compile(rf"<{_NAMES}>|\[THINK\]|<\|START_THINKING\|>", re.IGNORECASE)
_ANSWER = re.compile(r"<answer>([^<]*+)(?:</answer>|$)", re.IGNORECASE)
_MARKUP = re.compile(r"</?\w+>|\\(?:boxed|text|textbf)\b|[*_`#{}$]")
_ENDS = re.compile(r"[\s.,;:!?¡¿«»“”\"'()\[\]।。、，！？．؟،…–—-]*")
_FIRST = re.compile(r"[^\s.,;:!?¡¿«»“”\"'()\[\]।。、，！？．؟،…–—-]+")
_RUNS_ON = re.compile(r"\s+\w|-\w")
_ENGLISH = re.compile(r"\W*(yes|no)(?!['’\w])")


def after_thinking(text: str) -> str:
    """What stands behind the thoughts; empty where they never end, and all of it where there are none.

    `text`: what a model put out.

    >>> after_thinking("<think>No dog?</think> A dog."), after_thinking("<think>No dog")
    (' A dog.', '')
    """
    text = text[max((tag.end() for tag in _THOUGHT.finditer(text)), default=0) :]
    return "" if _THINKING.search(text) else text


def final_answer(text: str) -> str:
    """An answer without the thoughts before it and without markup; empty where the thoughts never end.

    `text`: what a model put out: what stands in its last `<answer>` tag is taken, if there is one.

    >>> final_answer("<think>No dog? There is one.</think> **Yes**").strip()
    'Yes'
    """
    text = after_thinking(text)
    tagged = _ANSWER.findall(text)
    return _MARKUP.sub(" ", tagged[-1] if tagged else text)


def leading_word(text: str) -> Decision | None:
    """Yes or no by the first word; None where it is neither.

    In English the word may run on ("no dog"). In other languages, and for "yeah" and the like, a mark or the end must
    follow it: the Arabic no also begins "I do not know", and a Chinese sentence is one word to its first mark.

    >>> leading_word("нет, не вижу"), leading_word("yes there is"), leading_word("nonetheless")
    ('no', 'yes', None)
    """
    text = unicodedata.normalize("NFC", text)
    if english := _ENGLISH.match(text):
        return YES if english[1] == YES else NO
    start = _ENDS.match(text)
    first = _FIRST.match(text, start.end() if start else 0)
    if first is None or _RUNS_ON.match(text, first.end()):
        return None
    return _BY_WORD.get(first[0])
