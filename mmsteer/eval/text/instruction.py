"""Whether answers follow instructions that a program can verify, strictly and loosely, as IFEval does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mmsteer.errors import EvalError
from mmsteer.eval.text.arguments import Test
from mmsteer.eval.text.instruction_checks import CHECKS
from mmsteer.types.metric import Metric

INSTRUCTION = Metric("instruction", "Share of answers that follow all their instructions, checked by rules.", "higher", "share")


@dataclass(frozen=True)
class Instruction:
    """One instruction that can be verified.

    Attributes:
        text: As it is written, such as `max_words=20`.
        test: The strict test.
    """

    text: str
    test: Test

    def follows(self, answer: str, *, loose: bool = False) -> bool:
        """Whether an answer follows; a blank one never does.

        Args:
            answer: What the model wrote.
            loose: Whether it is enough that one of eight relaxed forms of the answer follows.
        """
        forms = relaxed(answer) if loose else (answer,)
        return any(form.strip() and self.test(form) for form in forms)


def parse_instruction(text: str) -> Instruction:
    """Read an instruction such as `lowercase`, `max_words=20`, `keywords=sea|storm` or `min_keyword=sea,3`.

    Args:
        text: A name of `CHECKS`, with `=` and an argument where it takes one.

    Raises:
        EvalError: There is no such check, or it takes another argument.

    >>> parse_instruction("max_words=3").follows("One two three.")
    True
    """
    name, equals, argument = text.partition("=")
    if name.strip() not in CHECKS:
        raise EvalError(f"no instruction {name.strip()!r}; choose from {', '.join(CHECKS)}")
    try:
        return Instruction(text, CHECKS[name.strip()](argument if equals else None))
    except EvalError as error:
        raise EvalError(f"instruction {text!r}: {error}") from None


def relaxed(answer: str) -> tuple[str, ...]:
    r"""The forms of an answer that IFEval's loose accuracy tries.

    As it is, without its first line, without its last, without both; each also without asterisks.

    Args:
        answer: What the model wrote.

    Source: Zhou et al. 2023, arXiv:2311.07911, section 2.2.

    >>> relaxed("Sure!\n*yes*")
    ('Sure!\n*yes*', '*yes*', 'Sure!', '', 'Sure!\nyes', 'yes', 'Sure!', '')
    """
    lines = answer.split("\n")
    forms = (answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    return (*forms, *(form.replace("*", "") for form in forms))


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
        raise EvalError(f"{name}: the arguments {dict(arguments)} do not fit ({error}); are they of this entry?") from None


def _related(what: str, relation: str, count: int) -> Callable[[str], str]:
    """An instruction with a bound: "at least n", or "less than n" as the largest number allowed."""
    if relation not in ("at least", "less than"):
        raise EvalError(f"the relation {relation!r}; choose from at least, less than")
    side, bound = ("min", count) if relation == "at least" else ("max", count - 1)
    return lambda text: f"{side}_{what}={text}{bound}"


def _joined(words: Sequence[str]) -> str:
    return "|".join(words)


_IFEVAL: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "keywords:existence": lambda of: f"keywords={_joined(of['keywords'])}",
        "keywords:frequency": lambda of: _related("keyword", of["relation"], of["frequency"])(f"{of['keyword']},"),
        "keywords:forbidden_words": lambda of: f"forbidden={_joined(of['forbidden_words'])}",
        "keywords:letter_frequency": lambda of: _related("letter", of["let_relation"], of["let_frequency"])(
            f"{of['letter']},"
        ),
        "language:response_language": lambda of: f"language={of['language']}",
        "length_constraints:number_sentences": lambda of: _related("sentences", of["relation"], of["num_sentences"])(""),
        "length_constraints:number_paragraphs": lambda of: f"divided_paragraphs={of['num_paragraphs']}",
        "length_constraints:number_words": lambda of: _related("words", of["relation"], of["num_words"])(""),
        "length_constraints:nth_paragraph_first_word": lambda of: (
            f"paragraph_begins={of['nth_paragraph']}:{of['first_word']},{of['num_paragraphs']}"
        ),
        "detectable_content:number_placeholders": lambda of: f"min_placeholders={of['num_placeholders']}",
        "detectable_content:postscript": lambda of: f"postscript={of['postscript_marker']}",
        "detectable_format:number_bullet_lists": lambda of: f"bullets={of['num_bullets']}",
        "detectable_format:constrained_response": lambda _: "one_of=My answer is yes.|My answer is no.|My answer is maybe.",
        "detectable_format:number_highlighted_sections": lambda of: f"min_highlights={of['num_highlights']}",
        "detectable_format:multiple_sections": lambda of: f"min_sections={of['section_spliter']},{of['num_sections']}",
        "detectable_format:json_format": lambda _: "json",
        "detectable_format:title": lambda _: "title",
        "combination:two_responses": lambda _: "two_responses",
        "combination:repeat_prompt": lambda of: f"starts_with={of['prompt_to_repeat']}",
        "startend:end_checker": lambda of: f"ends_with={of['end_phrase']}",
        "startend:quotation": lambda _: "quoted",
        "change_case:capital_word_frequency": lambda of: _related(
            "capital_words", of["capital_relation"], of["capital_frequency"]
        )(""),
        "change_case:english_capital": lambda _: "uppercase",
        "change_case:english_lowercase": lambda _: "lowercase",
        "punctuation:no_comma": lambda _: "no_comma",
    }
)
