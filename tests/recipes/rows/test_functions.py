"""Functions of one's own as scorers."""

import math
import os
import subprocess
import sys

import pytest

from mmsteer.errors import EvalError
from mmsteer.recipes.rows.functions import function_digest, rated


def made(body, **names):
    exec(f"def score(answer):\n    {body}", names)
    return names["score"]


def enclosing(value):
    def score(answer):
        return value(answer) if callable(value) else value

    return score


def by_default(answer, weight=1.0):
    return weight * len(answer)


def recursive():
    def score(answer):
        return 0.0 if not answer else 1.0 + score(answer[1:])

    return score


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (made("return 1.0"), made("return 7.0")),
        (made("return answer.count('a')"), made("return answer.index('a')")),
        (made("return sum(1 for one in answer if one > 'a')"), made("return sum(1 for one in answer if one < 'a')")),
        (enclosing(1.0), enclosing(2.0)),
        (enclosing({"a": [1]}), enclosing({"a": [2]})),
        (enclosing(made("return 1.0")), enclosing(made("return 7.0"))),
        (len, abs),
    ],
)
def test_another_body_is_another_function(first, second):
    assert function_digest(first) != function_digest(second)


def test_defaults_count():
    before = function_digest(by_default)
    by_default.__defaults__ = (2.0,)
    assert function_digest(by_default) != before


def test_the_same_function_made_again_is_the_same():
    assert function_digest(made("return 1.0")) == function_digest(made("return 1.0"))
    assert function_digest(enclosing(2.0)) == function_digest(enclosing(2.0))
    assert function_digest(recursive()) == function_digest(recursive())
    assert function_digest(len) == function_digest(len)


def test_other_processes_know_a_function_by_the_same():
    code = (
        "from mmsteer.recipes.rows.functions import function_digest;"
        "print(function_digest(lambda answer: answer in {'sea', 'ship', 'sail'}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, "yes", "1"])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(EvalError, match=r"joy: score gives .*, which is no finite number; give None"):
        rated("joy", enclosing(value), "a")


def test_a_function_that_fails_is_named():
    with pytest.raises(EvalError, match="joy: score failed: ZeroDivisionError: division by zero"):
        rated("joy", made("return 1 / 0"), "a")


def test_numbers_and_none_are_taken():
    assert [rated("joy", enclosing(value), "a") for value in (True, 2, 0.5, None)] == [1.0, 2.0, 0.5, None]
