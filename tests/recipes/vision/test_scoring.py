"""Ratios of sums over pictures, against hand calculation."""

import pytest

from mmsteer.recipes.scoring import Scored
from mmsteer.recipes.vision.scoring import AMBER_METRICS, CAPTION_METRICS, answer_metrics, said_metrics, scores


def line(caption="a b c d", right=(), wrong=(), missed=(), answers=None):
    named = [(name, False) for name in right] + [(name, True) for name in wrong]
    mentions = [{"object": name, "hallucinated": hallucinated} for name, hallucinated in named]
    return {"caption": caption, "mentions": mentions, "missed": list(missed), "answers": answers}


def answered(*outcomes, splits=("random",)):
    return [{"outcome": outcome, "splits": list(splits)} for outcome in outcomes]


def scored(lines, unsteered=None, **controls):
    shown = [{"example": at, **one} for at, one in enumerate(lines)]
    return Scored("x", {}, {}, (), shown, unsteered, controls, None, None)


def values(row, part="steered"):
    return {name: found[part] and found[part]["value"] for name, found in row["metrics"].items()}


CAPTIONS = said_metrics(CAPTION_METRICS)
LINES = [
    line("a cup a cup a cat", right=["cup", "cup"], wrong=["cat"], missed=["dog"]),
    line("a dog", right=["dog"], missed=[]),
    line("", missed=["bus", "tv"]),
]


def test_captions_by_hand():
    found = values(scores([scored(LINES)], CAPTIONS))
    assert found["chair_s"] == 1 / 2  # the empty caption is no caption without a hallucination
    assert found["chair_i"] == 1 / 4
    assert found["recall"] == 2 / 5
    assert found["precision"] == 2 / 3
    assert found["f1"] == pytest.approx(2 * 2 / (3 + 5))
    assert found["length"] == 8 / 3
    assert found["empty"] == found["no_objects"] == 1 / 3


def test_descriptions_of_amber_by_hand():
    lines = [
        line("a man and a cat", right=["man"], wrong=["cat"], missed=["sky"])
        | {"covered": 2, "tempted": 1, "tempting": 3},
        line("the sky", right=["sky"]) | {"covered": 1, "tempted": 0, "tempting": 2},
    ]
    found = values(scores([scored(lines)], said_metrics(AMBER_METRICS)))
    assert (found["chair_s"], found["chair_i"]) == (1 / 2, 1 / 3)
    assert (found["recall"], found["cog"]) == (3 / 4, 1 / 5)
    assert not {"precision", "f1"} & found.keys()


def test_answers_by_hand():
    lines = [
        line(answers=answered("tp", "fp", "tn") + answered("fn", splits=("adversarial",))),
        line(answers=answered("tp", "unparsed", splits=("random", "adversarial"))),
        line(answers=None),
    ]
    found = values(scores([scored(lines)], answer_metrics(("random", "adversarial"))))
    assert found["pope.random.accuracy"] == 3 / 4
    assert found["pope.random.precision"] == 2 / 3
    assert found["pope.random.f1"] == 4 / 5
    assert found["pope.random.yes_ratio"] == 3 / 4
    assert found["pope.random.unparsed"] == 1 / 5
    assert found["pope.adversarial.recall"] == 1 / 2


def test_differences_pair_the_pictures():
    """A change that is the same in every picture has no width, however much the pictures differ."""
    before = [line(right=["cup"] * at, wrong=[]) for at in range(1, 9)]
    longer = [{**one, "caption": one["caption"] + " e"} for one in before]
    found = scores([scored(longer, before, random=[before, longer], wrong_image=[before])], CAPTIONS)["metrics"][
        "length"
    ]
    assert found["difference"] | {"n": 0} == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 0, "unscored": 0}
    assert found["random"]["value"] == 4.5
    assert found["random_difference"]["value"] == 0.5
    assert found["against_random"]["value"] == 0.5
    assert found["wrong_image_difference"]["value"] == 0.0
    assert found["against_wrong_image"]["value"] == 1.0


def test_answers_that_are_parsed_in_one_run_alone_are_no_part_of_a_difference():
    """A model that mumbles where it was wrong is right as often as before where it says yes or no."""
    before = [line(answers=answered("tp", "fp", "tn", "fn"))] * 3
    after = [line(answers=answered("tp", "unparsed", "tn", "unparsed"))] * 3
    found = scores([scored(after, before)], answer_metrics(("random",)))["metrics"]
    accuracy, unparsed = found["pope.random.accuracy"], found["pope.random.unparsed"]
    assert (accuracy["steered"]["value"], accuracy["unsteered"]["value"]) == (1.0, 0.5)
    assert (accuracy["difference"]["value"], unparsed["difference"]["value"]) == (0.0, 0.5)


def test_a_run_without_the_plain_model_has_no_differences():
    found = scores([scored(LINES)], CAPTIONS)
    assert found["metrics"]["f1"]["difference"] is None
    assert found["flips"] == {}


def test_flips_count_every_question_in_its_splits():
    before = [line(answers=answered("tp", "fp", splits=("random", "adversarial"))), line(answers=answered("tn"))]
    after = [line(answers=answered("tp", "tn", splits=("random", "adversarial"))), line(answers=answered("fp"))]
    flips = scores([scored(after, before)], {})["flips"]
    assert flips == {"random": {"tp->tp": 1, "fp->tn": 1, "tn->fp": 1}, "adversarial": {"tp->tp": 1, "fp->tn": 1}}
