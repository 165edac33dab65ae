"""A concept that two heads of a model carry: inference-time intervention (ITI) finds them, and steers by them alone.

Two words differ in their embeddings along `HIDDEN` alone; heads that are not planted read nothing of it. The planted
ones write it along `SHOWN`, along which alone the logits of `yes` and `no` differ. Nothing else mixes directions:
queries are zero, so that attention is a mean, and MLPs write nothing.
"""

import random

import pytest
import torch

from mmsteer.adapters import adapt
from mmsteer.eval.text import parse_reward
from mmsteer.probes import MeanDifference, sweep
from mmsteer.record import record
from mmsteer.search import Grid, default_sites, search
from mmsteer.steering import Steering, parse_attribute, steer
from mmsteer.tasks import Row
from mmsteer.types import Positions, Sample, Sampling, Site
from tests.adapters.checkpoints import FAMILIES

HIDDEN, SHOWN = 0, 1
HEADS, SIZE = 4, 8
PLANTED = ((0, 1), (1, 3))
FILLER = ("the", "image", "is", "there", "a", "shows", "describe")


@torch.no_grad()
def planted_model():
    torch.manual_seed(0)
    model, tokenizer = FAMILIES["llama"](num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=SIZE)
    word = tokenizer.convert_tokens_to_ids
    embedding, head = model.get_input_embeddings().weight, model.lm_head.weight
    embedding[:, [HIDDEN, SHOWN]] = 0
    embedding[word("table")] = embedding[word("cup")]
    embedding[word("cup"), HIDDEN], embedding[word("table"), HIDDEN] = 0.1, -0.1
    head[word("no")] = head[word("yes")]
    head[:, SHOWN] = 0
    head[word("yes"), SHOWN], head[word("no"), SHOWN] = 5.0, -5.0
    for block in model.model.layers:
        block.self_attn.q_proj.weight.zero_()
        block.self_attn.v_proj.weight[:, [HIDDEN, SHOWN]] = 0
        block.self_attn.o_proj.weight[[HIDDEN, SHOWN]] = 0
        block.mlp.down_proj.weight.zero_()
    for layer, place in PLANTED:
        attention = model.model.layers[layer].self_attn
        attention.v_proj.weight[place * SIZE, HIDDEN] = 0.5
        attention.o_proj.weight[:, place * SIZE] = 0
        attention.o_proj.weight[SHOWN, place * SIZE] = 1.0
    return adapt(model.eval(), tokenizer)


def asked(number, seed):
    draw = random.Random(seed)
    prompts, labels = [], []
    for at in range(number):
        words = draw.choices(FILLER, k=5)
        labels.append(("cup", "table")[at % 2])
        words.insert(draw.randrange(5), labels[-1])
        prompts.append(Sample(str(at), " ".join(words)))
    return prompts, labels


@pytest.fixture(scope="module")
def adapter():
    return planted_model()


@pytest.fixture(scope="module")
def found(adapter):
    prompts, labels = asked(80, seed=1)
    read = record(adapter, prompts, "text.*.head.*", positions=Positions("last"), pool="last")
    return sweep(MeanDifference(), read, labels, family="thing", task="multiclass", progress=False)


def margin(adapter, found, line=None):
    """How much likelier `yes` is than `no` after prompts about a table."""
    prompts = [one for one, label in zip(*asked(20, seed=2), strict=True) if label == "table"]
    if line is None:
        return adapter.next_word(prompts, ["yes", "no"]).diff(dim=-1).neg()
    with steer(adapter, Steering((parse_attribute(line, found.directions),))):
        return adapter.next_word(prompts, ["yes", "no"]).diff(dim=-1).neg()


def test_the_heads_that_carry_a_concept_have_the_best_scores(found):
    best = sorted(found.rows, key=lambda row: -row.score)
    assert {(row.site.layer, row.site.head) for row in best[:2]} == set(PLANTED)
    assert best[1].score == 1.0
    assert best[2].score < 0.8


def test_iti_steers_by_them_and_other_heads_do_not(adapter, found):
    sites = {Site("text", layer, "head", place) for layer, place in PLANTED}
    plain, steered = margin(adapter, found), margin(adapter, found, "thing:cup 5std weights top(2)")
    assert (plain < 0).all()
    assert (steered > 0).all()
    torch.testing.assert_close(
        margin(adapter, found, f"thing:cup 5std on {', '.join(map(str, sorted(sites)))}"), steered
    )
    others = random.Random(0).sample([row.site for row in found.rows if row.site not in sites], 2)
    control = margin(adapter, found, f"thing:cup 5std on {', '.join(map(str, others))}")
    assert (control < 0).all()
    assert ((control - plain).abs() < 0.1 * (steered - plain)).all()


def test_a_search_tries_the_best_heads_and_chooses_those_that_carry_it(adapter, found):
    direction = found.directions["thing:cup"]
    sites = default_sites(direction)
    assert set(sites[:2]) == {f"text.{layer}.head.{place}" for layer, place in PLANTED}
    assert [one.count("head") for one in sites] == [1] * 7 + [4, 12]
    pairs = zip(*asked(48, seed=3), strict=True)
    rows = [Row(one.id, one.id, one.prompt) for one, label in pairs if label == "table"]
    done = search(
        adapter,
        direction,
        rows,
        parse_reward("contains:yes"),
        budget_kl=60.0,
        grid=Grid(strengths=(3.0, 10.0)),
        sampling=Sampling(tokens=1),
    )
    assert (done.unsteered.worth, done.best.worth, done.best_control.worth) == (0.0, 1.0, 0.0)
    carrying = {f"text.{layer}.head.{place}" for layer, place in PLANTED}
    singles = {cell.place.sites: cell.worth for cell in done.cells if "," not in cell.place.sites}
    assert {site for site, worth in singles.items() if worth == 1.0} == carrying
    assert all(worth == 0.0 for site, worth in singles.items() if site not in carrying)
    assert done.line(done.best) == "thing:cup 3 on text.0.head.1"
