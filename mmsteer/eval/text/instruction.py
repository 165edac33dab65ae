"""Whether answers follow instructions that a program can verify, strictly and loosely, as IFEval does."""

from dataclasses import dataclass

from mmsteer.errors import EvalError
from mmsteer.eval.text.arguments import Test
from mmsteer.eval.text.instruction_checks import CHECKS


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

    Source: Zhou et al. 2023, arXiv:2311.07911, section 2.2.

    >>> relaxed("Sure!\n*yes*")
    ('Sure!\n*yes*', '*yes*', 'Sure!', '', 'Sure!\nyes', 'yes', 'Sure!', '')
    """
    lines = answer.split("\n")
    forms = (answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    return (*forms, *(form.replace("*", "") for form in forms))
