"""A method and its controls are searched over as many steerings, and tested on prompts that chose nothing."""

import pytest

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added
from mmsteer.latents.equal_search import search_equally
from mmsteer.latents.trials import Trials, sampled
from mmsteer.steering import Attribute, Steering
from mmsteer.types import OUTPUT, Sample, Sampling
from tests.latents.dictionaries import pictures
from tests.steering.seeing import direction, llava

__all__ = ["llava"]

NOTHING = added([], OUTPUT)


def trials(name, rewards):
    """Two prompts whose rewards come one after the other."""
    given = iter(rewards)
    return Trials(name, (Sample("a"), Sample("b")), lambda some: some, lambda _: next(given))


def test_the_best_of_each_family_by_hand(llava):
    families = {"method": [NOTHING, NOTHING], "control": [NOTHING, NOTHING]}
    validation = trials("validation", [0, 1, 1, 1, 0, 0, None, None])
    test = trials("test", [0, 0, 1, 1, 0, 1])
    found = search_equally(llava, families, validation, [test])
    assert found.validation == {"method": (0.5, 1.0), "control": (0.0, None)}
    assert found.chosen == {"method": 1, "control": 0}
    assert {row.condition: row.reward.value for row in found.test.rows} == {
        "unsteered": 0.0,
        "method": 1.0,
        "control": 0.5,
    }


def test_steerings_that_share_batches_do_what_each_does_alone(llava):
    pushes = [NOTHING, *(Steering((Attribute(direction(llava, ["text.0"]), s),)) for s in (3.0, -3.0))]
    prompts = tuple(pictures(2, answer=None))
    some = Trials("answers", prompts, sampled(llava, Sampling(4)), lambda one: float(len(one.output)), batch=4)
    together, alone = some.run_each(llava, pushes), [some.run(llava, one) for one in pushes]
    assert [one.rewards for one in together] == [one.rewards for one in alone]
    assert len({one.samples[0].output for one in together}) > 1


@pytest.mark.parametrize("sizes", [(2, 1), (0, 0)])
def test_unequal_or_empty_families_are_refused(llava, sizes):
    families = {name: [NOTHING] * size for name, size in zip(("method", "control"), sizes, strict=True)}
    with pytest.raises(DictionaryError, match=f"method {sizes[0]}, control {sizes[1]}"):
        search_equally(llava, families, trials("validation", []), [])
