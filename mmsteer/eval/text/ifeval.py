"""The instructions of IFEval's public file, as this package writes them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mmsteer.errors import EvalError


def from_ifeval(name: str, arguments: Mapping[str, Any]) -> str:
    """An instruction of IFEval's `input_data.jsonl` as `parse_instruction` reads it.

    Args:
        name: An entry of `instruction_id_list`.
        arguments: The entry of `kwargs` at the same place.

    Raises:
        EvalError: The instruction is unknown, or an argument is missing.

    >>> from_ifeval("length_constraints:number_words", {"relation": "less than", "num_words": 50})
    'max_words=49'
    """
    if name not in _IFEVAL:
        raise EvalError(f"no instruction {name!r} of IFEval; choose from {', '.join(_IFEVAL)}")
    try:
        return _IFEVAL[name](arguments)
    except (KeyError, TypeError) as error:
        raise EvalError(
            f"{name}: the arguments {dict(arguments)} do not fit ({error}); are they of this entry?"
        ) from None


def _bound(what: str, relation: str, count: int, of: str = "") -> str:
    # "less than n" becomes the largest number allowed
    if relation not in ("at least", "less than"):
        raise EvalError(f"the relation {relation!r}; choose from at least, less than")
    side, number = ("min", count) if relation == "at least" else ("max", count - 1)
    return f"{side}_{what}={of}{number}"


_IFEVAL: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "keywords:existence": lambda of: f"keywords={'|'.join(of['keywords'])}",
        "keywords:frequency": lambda of: _bound("keyword", of["relation"], of["frequency"], f"{of['keyword']},"),
        "keywords:forbidden_words": lambda of: f"forbidden={'|'.join(of['forbidden_words'])}",
        "keywords:letter_frequency": lambda of: _bound(
            "letter", of["let_relation"], of["let_frequency"], f"{of['letter']},"
        ),
        "language:response_language": lambda of: f"language={of['language']}",
        "length_constraints:number_sentences": lambda of: _bound("sentences", of["relation"], of["num_sentences"]),
        "length_constraints:number_paragraphs": lambda of: f"divided_paragraphs={of['num_paragraphs']}",
        "length_constraints:number_words": lambda of: _bound("words", of["relation"], of["num_words"]),
        "length_constraints:nth_paragraph_first_word": lambda of: (
            f"paragraph_begins={of['nth_paragraph']},{of['first_word']},{of['num_paragraphs']}"
        ),
        "detectable_content:number_placeholders": lambda of: f"min_placeholders={of['num_placeholders']}",
        "detectable_content:postscript": lambda of: f"postscript={of['postscript_marker']}",
        "detectable_format:number_bullet_lists": lambda of: f"bullets={of['num_bullets']}",
        "detectable_format:constrained_response": lambda _: (
            "one_of=My answer is yes.|My answer is no.|My answer is maybe."
        ),
        "detectable_format:number_highlighted_sections": lambda of: f"min_highlights={of['num_highlights']}",
        "detectable_format:multiple_sections": lambda of: f"min_sections={of['section_spliter']},{of['num_sections']}",
        "detectable_format:json_format": lambda _: "json",
        "detectable_format:title": lambda _: "title",
        "combination:two_responses": lambda _: "two_responses",
        "combination:repeat_prompt": lambda of: f"starts_with={of['prompt_to_repeat']}",
        "startend:end_checker": lambda of: f"ends_with={of['end_phrase']}",
        "startend:quotation": lambda _: "quoted",
        "change_case:capital_word_frequency": lambda of: _bound(
            "capital_words", of["capital_relation"], of["capital_frequency"]
        ),
        "change_case:english_capital": lambda _: "uppercase",
        "change_case:english_lowercase": lambda _: "lowercase",
        "punctuation:no_comma": lambda _: "no_comma",
    }
)
