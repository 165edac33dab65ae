"""MME's result files."""

import json

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.mme import COGNITION, PERCEPTION, mme_json, parse_mme, score_mme

LINES = "1.jpg\tq\tYes\tYes\n1.jpg\tq\tNo\tno, it is\n2.jpg\tq\tYes\tyes\n2.jpg\tq\tNo\tYes\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Yes", "yes"), ("NO", "no"), (" Yes", "yes"), ("  yes", None), ("Not", "no"), ("I know", None), ("", None)],
)
def test_the_first_four_characters_decide(answer, expected):
    assert parse_mme(answer) == expected


def test_both_questions_of_an_image_must_be_right_for_the_plus(tmp_path):
    (tmp_path / "count.txt").write_text(LINES)
    (tmp_path / "scene.txt").write_text(LINES.replace("no, it is", "") + "\n")
    found = mme_json(score_mme(tmp_path))
    assert [found["subtasks"]["count"][key] for key in ("accuracy", "accuracy_plus", "score")] == [75, 50, 125]
    assert [found["subtasks"]["scene"][key] for key in ("accuracy", "accuracy_plus", "unparsed")] == [50, 0, 1]
    assert (found["perception"], found["hallucination"], len(found["missing"])) == (None, None, 12)
    json.dumps(found, allow_nan=False)


def test_a_perfect_answerer_has_all_points(tmp_path):
    for name in (*PERCEPTION, *COGNITION):
        (tmp_path / f"{name}.txt").write_text("1.jpg\tq\tYes\tYes\r\n1.jpg\tq\tNo\tNo\r\n")
    found = mme_json(score_mme(tmp_path))
    assert [found[name] for name in ("perception", "cognition", "hallucination")] == [2000, 800, 800]
    for name in COGNITION:
        (tmp_path / f"{name}.txt").write_text("1.jpg\tq\tYes\tYes\n1.jpg\tq\tNo\tYes\n")
    assert mme_json(score_mme(tmp_path))["cognition"] == 4 * 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1.jpg\tq\tYes\n", r"count.txt:1: a line is image, question"),
        (LINES + "3.jpg\tq\tMaybe\tYes", r"count.txt:5: a line is image"),
        (LINES + "3.jpg\tq\tYes\tYes\n", r"count.txt:5: the questions about 3.jpg are not two"),
        ("1.jpg\tq\tYes\tYes\n2.jpg\tq\tYes\tYes", r"count.txt:2: the questions about 1.jpg are not two"),
        ("", r"count.txt is empty"),
    ],
)
def test_what_is_broken_is_said_with_its_line(tmp_path, content, message):
    (tmp_path / "count.txt").write_text(content)
    with pytest.raises(EvalError, match=message):
        score_mme(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(EvalError, match="no result file of MME"):
        score_mme(tmp_path)
