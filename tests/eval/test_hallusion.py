"""HallusionBench's three accuracies."""

import json

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.hallusion import Item, read_items, score_hallusion

PLACES = [  # category, set, figure, question, truth
    ("VD", "0", "0", "0", "1"),
    ("VD", "0", "0", "1", "0"),
    ("VD", "0", "1", "0", "0"),
    ("VD", "0", "1", "1", "0"),
    ("VS", "0", "0", "0", "1"),
    ("VS", "0", "1", "0", "1"),
]


def rows(answers):
    names = ("category", "set_id", "figure_id", "question_id", "gt_answer")
    return [
        dict(zip(names, place, strict=True)) | {"subcategory": "chart", "model_prediction": answer}
        for place, answer in zip(PLACES, answers, strict=True)
    ]


@pytest.fixture
def score(tmp_path):
    def run(answers):
        (tmp_path / "h.json").write_text(json.dumps(rows(answers)))
        return score_hallusion(read_items(tmp_path / "h.json"))

    return run


def test_the_accuracies_are_those_of_the_groups(score):
    # Wrong is VD figure 1 question 0. Questions: VD 0 wrong, VD 1 and VS 0 right.
    # Figures: VD 1 wrong, VD 0 and VS 1 right.
    found = score(["Yes", "No", "Yes.", "no", "yes", "Yes"]).to_json()
    assert [found[name] for name in ("aAcc", "qAcc", "fAcc")] == pytest.approx([5 / 6, 2 / 3, 2 / 3])
    assert (found["questions"], found["figures"]) == (3, 3)


def test_a_question_without_a_figure_is_no_figure(score):
    found = score(["Yes", "No", "No", "no", "no", "Yes"]).to_json()
    assert (found["qAcc"], found["fAcc"]) == (pytest.approx(2 / 3), 1)


def test_neither_yes_nor_no_is_wrong_and_counted(score):
    found = score(["Yes", "No", "hm", "no", "yes", "Yes"]).to_json()
    assert (found["aAcc"], found["unparsed"]) == (pytest.approx(5 / 6), 1)


def test_no_answer_leaves_its_groups_unscored(score):
    found = score(["Yes", "No", None, "no", "yes", "Yes"]).to_json()
    assert (found["aAcc"], found["unscored"], found["questions"], found["figures"]) == (1, 1, 2, 2)


def test_intervals_are_over_sets():
    """Sets that are right or wrong throughout say as much as one question each: Wilson by hand at 10 of 20."""
    items = [
        Item("VD", "chart", str(at), str(figure), str(question), "yes", "yes" if at < 10 else "no")
        for at in range(20)
        for figure in range(2)
        for question in range(5)
    ]
    found = score_hallusion(items)
    z = 1.959964
    reach = z / (1 + z**2 / 20) * (0.25 / 20 + z**2 / 1600) ** 0.5
    for one, n in ((found.a_acc, 200), (found.q_acc, 100), (found.f_acc, 40)):
        assert (one.value, one.n) == (0.5, n)
        assert [one.low, one.high] == pytest.approx([0.5 - reach, 0.5 + reach], abs=0.02)


def test_broken_rows_have_their_line(tmp_path):
    path = tmp_path / "h.jsonl"
    twice = rows(["yes"] * 6)[:1] * 2
    path.write_text("\n".join(map(json.dumps, twice)))
    with pytest.raises(EvalError, match=r"h.jsonl:2: question VD/chart/0/0/0 came before, on line 1"):
        read_items(path)
    path.write_text(json.dumps(twice[0] | {"gt_answer": "2"}))
    with pytest.raises(EvalError, match=r"h.jsonl:1: gt_answer is '2'"):
        read_items(path)
