"""Checks of instructions that a program can verify, by name. A new check is one line in `CHECKS`.

Each is the strict test of one instruction and follows IFEval's published code, except as comments say. Where IFEval
asks for "less than n", the largest number allowed here is n - 1. Its `english_lowercase` and `english_capital` also
ask for English: add `language=en`. Texts are taken literally, where IFEval takes them as regular expressions.

Source: Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models, arXiv:2311.07911, table 1.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from mmsteer.eval.text.arguments import Check, counted, flag, letter, number, one_of, phrase, placed, texts
from mmsteer.eval.text.counting import count_tokens, split_paragraphs, split_sentences
from mmsteer.eval.text.language import LANGUAGES, find_language

_CAPITAL = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SMALL = frozenset(
    "a an and as at but by for from in into nor of on onto or over per so the to up via vs with yet".split()
)


def is_title_case(text: str) -> bool:
    """Whether every word begins with a capital, short function words within a line excepted; not in IFEval.

    >>> is_title_case("The Lord of the Rings"), is_title_case("The lord of the Rings"), is_title_case("42")
    (True, False, False)
    """
    lines = [[word for word in _CAPITAL.findall(line) if word[0].isalpha()] for line in text.splitlines()]
    small = [
        word for line in lines for at, word in enumerate(line) if word[0].islower() and (at == 0 or word not in _SMALL)
    ]
    return any(lines) and not small


def count_capital_words(text: str) -> int:
    """Words all in capitals; with an apostrophe or hyphen one word, where NLTK's tokeniser makes two of "DON'T"."""
    return sum(word.isupper() for word in _CAPITAL.findall(text))


def count_keyword(text: str, keyword: str) -> int:
    """Occurrences that do not overlap, in any case, also within words ("sea" occurs in "season")."""
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def has_word(text: str, word: str) -> bool:
    """Whether a word or phrase stands in a text as a whole, in any case."""
    # IFEval writes \b on both sides, which never matches beside a mark such as that of "C++".
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def count_bullets(text: str) -> int:
    """Lines that begin with `*` or `-`; not those that begin with `**` or are `*` alone."""
    return sum(bool(re.match(r"\s*(?:\*[^*]|-)", line)) for line in text.split("\n"))


def count_highlights(text: str) -> int:
    """Stretches `*so*` and `**so**` within a line that are not blank.

    As in IFEval, one in double asterisks counts once.
    """
    single = [found.strip("*").strip() for found in re.findall(r"\*[^\n*]*\*", text)]
    double = [found[2:-2].strip() for found in re.findall(r"\*\*[^\n*]*\*\*", text)]
    return sum(map(bool, single + double))


def count_sections(text: str, mark: str) -> int:
    """Places where a mark such as `Section` is followed by a number.

    `mark`: the word, in the case it must have.
    """
    return len(re.findall(rf"{re.escape(mark)}\s?\d+", text))


def count_divided(text: str) -> int:
    """Paragraphs that the divider `***` separates; 0 where one between two dividers is blank."""
    parts = [part.strip() for part in text.split("***")]
    return 0 if not all(parts[1:-1]) else sum(map(bool, parts))


def is_json(text: str) -> bool:
    """Whether the whole text is one JSON value, between code fences or not."""
    plain = re.sub(r"^```(?:json|Json|JSON)?", "", text.strip()).removesuffix("```").strip()
    try:
        json.loads(plain)
    except (ValueError, RecursionError):
        return False
    return True


def is_quoted(text: str) -> bool:
    """Whether a text begins and ends with a straight double quotation mark."""
    plain = text.strip()
    return len(plain) > 1 and plain[0] == plain[-1] == '"'


def has_title(text: str) -> bool:
    """Whether a title in double angular brackets, `<<so>>`, stands within a line."""
    return any(_titled(line).strip("<>").strip() for line in text.split("\n"))


def _titled(line: str) -> str:
    """What stands between the first `<<` of a line and its last `>>`."""
    start = line.find("<<")
    return "" if start < 0 else line[start : max(start, line.rfind(">>"))]


def count_placeholders(text: str) -> int:
    """Stretches `[so]` within a line, each up to the first bracket that closes."""
    # A bracket that nothing closes takes the rest of its line, in which no other is closed either.
    return sum(map(bool, re.findall(r"\[[^\]\n]*+(\]?)", text)))


def has_two_responses(text: str) -> bool:
    """Whether `******` separates exactly two different responses."""
    parts = [part.strip() for part in text.split("******")]
    given = [part for part in parts if part]
    return all(parts[1:-1]) and len(given) == 2 and given[0] != given[1]


def has_postscript(text: str, mark: str) -> bool:
    """Whether a postscript mark stands anywhere, in any case; `P.S.` and `P.P.S` may have a space within.

    `mark`: such as `P.S.`.
    """
    known = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
    return re.search(known.get(mark, re.escape(mark.lower())), text.lower()) is not None


def paragraph_begins(text: str, nth: int, word: str, count: int) -> bool:
    """Whether a text has so many paragraphs, between double line breaks, and one of them begins with a word.

    `nth`: which paragraph, from 1.
    """
    parts = text.split("\n\n")
    if sum(bool(part.strip()) for part in parts) != count or not 0 < nth <= count or not parts[nth - 1].strip():
        return False
    first = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", first, maxsplit=1)[0].lower() == word.lower()


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "lowercase": flag(str.islower),
        "uppercase": flag(str.isupper),
        "title_case": flag(is_title_case),
        "no_comma": flag(lambda text: "," not in text),
        "json": flag(is_json),
        "quoted": flag(is_quoted),
        "title": flag(has_title),
        "two_responses": flag(has_two_responses),
        "min_words": number(lambda text, n: count_tokens(text) >= n),
        "max_words": number(lambda text, n: count_tokens(text) <= n),
        "min_sentences": number(lambda text, n: len(split_sentences(text)) >= n),
        "max_sentences": number(lambda text, n: len(split_sentences(text)) <= n),
        "min_paragraphs": number(lambda text, n: len(split_paragraphs(text)) >= n),
        "max_paragraphs": number(lambda text, n: len(split_paragraphs(text)) <= n),
        "divided_paragraphs": number(lambda text, n: count_divided(text) == n),
        "bullets": number(lambda text, n: count_bullets(text) == n),
        "min_highlights": number(lambda text, n: count_highlights(text) >= n),
        "min_placeholders": number(lambda text, n: count_placeholders(text) >= n),
        "min_capital_words": number(lambda text, n: count_capital_words(text) >= n),
        "max_capital_words": number(lambda text, n: count_capital_words(text) <= n),
        "min_sections": counted(lambda text, mark, n: count_sections(text, mark) >= n),
        "min_keyword": counted(lambda text, word, n: count_keyword(text, word) >= n),
        "max_keyword": counted(lambda text, word, n: count_keyword(text, word) <= n),
        "min_letter": letter(lambda text, one, n: text.lower().count(one.lower()) >= n),
        "max_letter": letter(lambda text, one, n: text.lower().count(one.lower()) <= n),
        "paragraph_begins": placed(paragraph_begins),
        "keywords": texts(lambda text, words: all(count_keyword(text, word) for word in words)),
        "forbidden": texts(lambda text, words: not any(has_word(text, word) for word in words)),
        "one_of": texts(lambda text, options: any(option in text for option in options)),
        "starts_with": phrase(lambda text, start: text.strip().lower().startswith(start.lower())),
        "ends_with": phrase(lambda text, end: text.strip().strip('"').lower().endswith(end.lower())),
        "postscript": phrase(has_postscript),
        # IFEval asks langdetect about 97 languages and passes what it cannot tell; here that does not pass.
        "language": one_of(LANGUAGES, lambda text, language: find_language(text) == language),
    }
)
"""The checks by name: what stands after `=` -> the test of an answer."""
