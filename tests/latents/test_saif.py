"""SAIF finds what an instruction switches on, and it alone is steered."""

from dataclasses import replace

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.saif import run_saif
from mmsteer.latents.trials import Trials
from mmsteer.types import OUTPUT, Positions, Sample, Site
from tests.latents.dictionaries import made
from tests.steering.seeing import llava, picture, states

__all__ = ["llava"]

SITE = Site("text", 1)


def asked(text):
    return [Sample(f"{text}-{one}", text, (picture(one),)) for one in range(6)]


@pytest.fixture(scope="module")
def dictionary(llava):
    """Feature 0 is what the instruction changes; 1 and 4 are always active, 2 is active without it, 3 never."""
    [with_it], [without] = (states(llava, str(SITE), lambda s=s: llava.read(llava.reading(s))) for s in SIDES)
    plus, minus = with_it[:, -1].float(), without[:, -1].float()
    row = plus.mean(dim=0) - minus.mean(dim=0)
    middle = plus.mean(dim=0)
    near = middle + middle.flip(0).abs() * middle.sign() / 4
    rows = torch.stack([row, middle, -row, -middle, near])
    found = made(llava, str(SITE), rows)
    edge = float((middle + minus.mean(dim=0)) @ found.encoder[:, 0] / 2)
    return replace(found, encoder_bias=torch.tensor([-edge, 0.0, edge, 0.0, 0.0]))


PLAIN, INSTRUCTED = asked("describe the image"), asked("describe the cup cup there")
SIDES = (INSTRUCTED, PLAIN)


def test_the_instruction_is_found_alone(llava, dictionary):
    found = run_saif(llava, dictionary, INSTRUCTED, PLAIN, beta=0.0)
    assert found.features == (0,)
    assert found.sensitivity == (1.0,)
    torch.testing.assert_close(found.direction.vectors[SITE], dictionary.decoder[0])
    z = dictionary.encode(states(llava, str(SITE), lambda: llava.read(llava.reading(INSTRUCTED)))[0][:, -1])[:, 0]
    assert found.coefficients[0] == pytest.approx(float(z.mean()), rel=1e-4)
    spread = run_saif(llava, dictionary, INSTRUCTED, PLAIN, beta=2.0)
    assert spread.coefficients[0] == pytest.approx(float(z.mean() + 2 * z.std(correction=0)), rel=1e-4)
    assert found.table() == [{"feature": 0, "sensitivity": 1.0, "coefficient": found.coefficients[0]}]


def test_what_is_silent_without_the_instruction_is_active_when_steered(llava, dictionary):
    def reached(prompts):
        [state] = states(llava, str(SITE), lambda: llava.read(llava.reading(prompts)))
        active = dictionary.encode(state[:, -1])[:, 0] > 0
        return [replace(one, output=str(bool(yes))) for one, yes in zip(prompts, active, strict=True)]

    trials = Trials("instruction", tuple(PLAIN), reached, lambda sample: float(sample.output == "True"))
    found = run_saif(llava, dictionary, INSTRUCTED, PLAIN, beta=4.0, positions=OUTPUT, test=[trials])
    rewards = {row.condition: row.reward.value for row in found.comparison.rows}
    assert rewards["unsteered"] == 0.0
    assert rewards["steered"] == 1.0
    assert rewards["random features"] < 1.0


def test_one_side_that_says_nothing_new_is_refused(llava, dictionary):
    again = [replace(one, id=f"{one.id}-again") for one in PLAIN]
    with pytest.raises(DictionaryError, match="no feature is active in 80% of the pairs"):
        run_saif(llava, dictionary, again, PLAIN, read=Positions("last"))
