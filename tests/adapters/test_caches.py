"""Where a sequence is, by its cache; of recurrent models by what went through it."""

import pytest
import torch

from mmsteer import hooks
from mmsteer.adapters import adapt
from mmsteer.adapters.caches import cached_tokens
from mmsteer.errors import AdapterError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from tests.adapters.checkpoints import FAMILIES
from tests.conftest import planted
from tests.releases import skip_where_faulty

IDS = torch.tensor([[1, 20, 21, 22]])


@pytest.fixture(scope="module")
def mamba():
    skip_where_faulty("mamba")
    torch.manual_seed(0)
    model, tokenizer = FAMILIES["mamba"]()
    return adapt(model.eval(), tokenizer)


@pytest.mark.parametrize(
    ("name", "message"),
    [("MambaCache", "does not say how many tokens"), ("PagedAttentionCache", "continuous batching")],
)
def test_a_cache_without_a_length_is_refused_for_what_it_is(name, message):
    with pytest.raises(AdapterError, match=message):
        cached_tokens({"cache": type(name, (), {})()})


def test_a_recurrent_cache_is_counted_once_a_forward(mamba):
    places = []

    def tick(arguments):
        places.append([cached_tokens(arguments) for _ in range(2)])

    with hooks.clock(mamba.model.base_model, tick):
        mamba.model.generate(IDS, max_new_tokens=3, min_new_tokens=3)
        mamba.model.generate(IDS[:, :2], max_new_tokens=2, min_new_tokens=2)
    assert places == [[0, 0], [4, 4], [5, 5], [0, 0], [2, 2]]


@torch.no_grad()
def test_a_cache_that_began_elsewhere_is_refused(mamba):
    cache = mamba.model(input_ids=IDS, use_cache=True).cache
    with pytest.raises(AdapterError, match=r"begin each sequence inside the `with`"):
        cached_tokens({"input_ids": IDS[:, :1], "cache": cache})
    with pytest.raises(AdapterError, match="give the model input_ids"):
        cached_tokens({"inputs_embeds": torch.zeros(1, 1, 32), "cache": cache})


def test_a_schedule_follows_a_recurrent_model(mamba):
    """Steering that begins at step 2 leaves the first two tokens alone, and changes the third."""
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "output_logits": True, "return_dict_in_generate": True}
    plain = mamba.model.generate(input_ids=IDS, **options).logits
    late = Attribute(planted(mamba, "c", range(3)), 5.0, parse_schedule("window(2steps..4steps)"))
    with steer(mamba, Steering((late,))) as session:
        steered = mamba.model.generate(input_ids=IDS, **options).logits
    assert [torch.equal(one, other) for one, other in zip(plain[:3], steered[:3], strict=True)] == [True, True, False]
    assert session.receipt().steps == 4
