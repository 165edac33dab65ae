"""Scores of clips, pooled over targets."""

import pytest

from mmsteer.recipes.music.scoring import metrics
from mmsteer.recipes.scoring import Scored


def clip(prompt, adherence):
    return {"example": prompt, "readings": {}, "adherence": {"tempo": adherence}}


def condition(name, steered, unsteered):
    lines = [clip(prompt, value) for prompt, value in enumerate(steered)]
    before = [clip(prompt, value) for prompt, value in enumerate(unsteered)]
    return Scored(name, {}, {"target": {}}, (), lines, before, {"random": []}, None, None)


def test_the_same_unsteered_clips_count_once_however_many_targets_stand_beside_them():
    steered, unsteered = [0.0, 1.0, 0.5, 0.0, 1.0, 0.5], [1.0, 1.0, 0.5, 1.0, 0.5, 0.0]
    one = metrics([condition("a", steered, unsteered)])["adherence"]
    many = metrics([condition(str(target), steered, unsteered) for target in range(12)])["adherence"]
    for part in ("unsteered", "difference"):
        assert many[part]["value"] == pytest.approx(one[part]["value"])
        assert (many[part]["low"], many[part]["high"]) == pytest.approx((one[part]["low"], one[part]["high"]))
    assert many["difference"]["n"] == 72
