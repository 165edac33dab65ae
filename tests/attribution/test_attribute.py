"""Attribution on small models: values against differences worked out by hand, and planted causes."""

from dataclasses import replace

import pytest
import torch
from PIL.Image import Transpose
from torch import nn

from mmsteer import hooks
from mmsteer.api import parse_steering
from mmsteer.attribution import (
    TECHNIQUES,
    ComponentUnits,
    Effort,
    FeatureUnits,
    FrameUnits,
    TokenUnits,
    VectorUnits,
    attribute,
    of_words,
)
from mmsteer.attribution.metrics import OfWords
from mmsteer.attribution.techniques import MOST_EXACT
from mmsteer.errors import AttributionError, SteeringError
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Sample, Sampling, Site
from tests.conftest import planted, saying
from tests.steering.seeing import picture

ASKED = Sample("a", "red blue", output="cup red")
CLOSED = {"integrated-gradients": 2e-2, "shapley": 1e-4, "exact-shapley": 1e-4}


def linear(shares):
    """A function of which every technique is exact: 1 + 2 a - 3 b + 5 c."""
    return 1 + shares @ torch.tensor([2.0, -3.0, 5.0])


def product(shares):
    """Shapley values of a b c + d are 1/3, 1/3, 1/3 and 1."""
    return shares[:, 0] * shares[:, 1] * shares[:, 2] + shares[:, 3]


@pytest.mark.parametrize("technique", [name for name, one in TECHNIQUES.items() if one.run is not None])
def test_every_technique_is_exact_where_units_do_not_meet(technique):
    values = TECHNIQUES[technique].run(linear, 3, Effort(draws=200))
    torch.testing.assert_close(values, torch.tensor([2.0, -3.0, 5.0]).double(), rtol=1e-3, atol=1e-3)


def test_shapley_values_share_what_takes_all():
    wanted = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0]).double()
    torch.testing.assert_close(TECHNIQUES["exact-shapley"].run(product, 4, Effort()), wanted)
    drawn = TECHNIQUES["shapley"].run(product, 4, Effort(draws=600))
    torch.testing.assert_close(drawn, wanted, atol=0.06, rtol=0)
    assert TECHNIQUES["occlusion"].run(product, 4, Effort()).tolist() == [1, 1, 1, 1]
    torch.testing.assert_close(
        TECHNIQUES["integrated-gradients"].run(product, 4, Effort(steps=64)), wanted, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(("technique", "baseline"), [(one, "mean") for one in CLOSED] + [("shapley", "zero")])
def test_values_add_up_to_the_difference(talker, technique, baseline):
    found = attribute(talker, ASKED, units=TokenUnits(baseline=baseline), technique=technique, effort=Effort(steps=128))
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-4)
    assert abs(found.whole - found.nothing) > 1e-2
    assert abs(found.missing) < CLOSED[technique]
    assert len(found.names) == len(found.values)
    assert "red" in " ".join(found.names)


def test_a_gradient_is_the_slope_of_occlusion(talker):
    """A small step by hand: the slope in one token's share at 1."""
    found = attribute(talker, ASKED, technique="gradient")
    units, at, step = TokenUnits(), 1, 1e-2
    from mmsteer.attribution.attribute import _Function, log_probability

    with steer(talker, Steering()) as session:
        function = _Function(talker, ASKED, log_probability, units, session, None)
    shares = torch.ones(2, len(found.values))
    shares[0, at] += step
    shares[1, at] -= step
    with torch.no_grad():
        ends = function(shares)
    assert float(found.values[at]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=0.02, abs=1e-3)


def test_saliency_is_the_norm_of_the_gradient_in_the_state(talker):
    """By hand, through the model's own embeddings and a module's own output."""
    found = attribute(talker, ASKED, technique="saliency")
    parts = attribute(talker, ASKED, units=ComponentUnits("text.1-2.mlp"), technique="saliency")
    reading, kept = talker.reading([ASKED]), {}
    ids, prompt = reading.arguments["input_ids"], reading.call.prompt
    embedded = talker.model.get_input_embeddings()(ids).detach().requires_grad_()

    def keep(module, given, output):
        output.retain_grad()
        kept[module] = output

    mlps = [talker.model.model.layers[layer].mlp for layer in (1, 2)]
    handles = [one.register_forward_hook(keep) for one in mlps]
    logits = talker.model(inputs_embeds=embedded).logits.log_softmax(-1)[0]
    for handle in handles:
        handle.remove()
    sum(logits[at - 1, ids[0, at]] for at in range(prompt, ids.shape[1])).backward()
    torch.testing.assert_close(found.values, embedded.grad[0, 1:prompt].norm(dim=-1).double(), rtol=1e-3, atol=1e-6)
    norms = torch.stack([kept[one].grad[0, 1:].norm() for one in mlps]).double()
    torch.testing.assert_close(parts.values, norms, rtol=1e-3, atol=1e-6)
    assert found.missing is None
    talker.model.zero_grad(set_to_none=True)


def test_saliency_is_no_gradient_without_its_sign(llava):
    sample = Sample("a", "What is this?", (picture(),), "red")
    sizes, slopes = (
        attribute(llava, sample, units=TokenUnits(Positions("image")), technique=technique).values
        for technique in ("saliency", "gradient")
    )
    assert sizes.min() > 0
    assert float((sizes / sizes.max() - slopes.abs() / slopes.abs().max()).abs().max()) > 0.05


def test_drawn_shapley_values_come_near_the_exact_ones(talker):
    exact = attribute(talker, ASKED, technique="exact-shapley").values
    drawn = attribute(talker, ASKED, technique="shapley", effort=Effort(draws=100)).values
    assert float((exact - drawn).abs().max()) < 0.15 * float(exact.abs().max()) + 0.02


def test_vectors_are_what_steering_adds(talker):
    items = (
        Attribute(saying(talker, "cup", "word:cup"), 3.0, sites="text.3"),
        Attribute(saying(talker, "blue", "word:blue"), 2.0, sites="text.2-3", positions=Positions("generated")),
    )
    found = attribute(talker, ASKED, units=VectorUnits(Steering(items)), technique="exact-shapley")
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED], Steering(items))[0, 0]), abs=1e-3)
    assert found.nothing == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-3)
    cup = attribute(
        talker, ASKED, of_words(talker, ASKED, "cup"), VectorUnits(Steering(items[:1])), technique="occlusion"
    )
    assert float(cup.values[0]) > 1.0  # along it the model says the word


def test_words_may_be_several_tokens_without_spaces(talker):
    assert [talker.token_name(one) for one in talker.tokens(talker.reading([ASKED]))[0, -2:, 0].tolist()][-1] == "red"
    assert of_words(talker, ASKED, "Cup red") == OfWords(0, 2)


def test_a_planted_component_is_found(talker):
    """The only MLP that writes the word is the one that is charged with it."""
    row = saying(talker, "cup", "word:cup").vectors[Site("text", 2)]
    last = talker.model.model.layers[2].mlp.down_proj
    last.bias = nn.Parameter(20 * row)
    try:
        found = attribute(
            talker, ASKED, of_words(talker, ASKED, "cup"), ComponentUnits("text.*.mlp", "zero"), "exact-shapley"
        )
    finally:
        last.bias = None
    heads = attribute(talker, ASKED, units=ComponentUnits("text.1.head.*"), technique="exact-shapley")
    assert found.largest(1)[0][0] == "text.2.mlp"
    assert found.largest(1)[0][1] > 1.0
    assert abs(heads.missing) < 1e-3
    assert len(heads.names) == 2


def test_features_keep_what_a_dictionary_misses(talker):
    site, width = Site("text", 2), talker.widths[Site("text", 2)]
    axes = torch.linalg.qr(torch.randn(width, 4, generator=torch.Generator().manual_seed(0)))[0].T
    dictionary = SparseDictionary(
        axes.T.contiguous(), torch.zeros(4), axes.contiguous(), torch.zeros(width), torch.zeros(4)
    ).at(site)
    units = FeatureUnits(dictionary, (0, 1, 2, 3))
    found = attribute(talker, ASKED, units=units, technique="exact-shapley")
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-4)
    assert abs(found.missing) < 1e-3
    without = hooks.edits({talker.port(site): lambda h: h - ((h @ axes.T).relu() @ axes)})
    with without:
        assert found.nothing == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-3)


def test_patches_of_an_image(llava):
    sample = Sample("a", "What is this?", (picture(),), "red")
    units = TokenUnits(Positions("image"))
    found = attribute(llava, sample, units=units, technique="integrated-gradients", effort=Effort(steps=16))
    assert len(found.values) == 4
    assert float(found.values.abs().max()) > 0


def test_music_has_steps(musicgen):
    clip = musicgen.generate([Sample("a", "tune")], Sampling(seconds=0.2), [1])[0]
    found = attribute(musicgen, clip, units=ComponentUnits("decoder.*.mlp", "zero"), technique="integrated-gradients")
    assert abs(found.missing) < 0.1 * abs(found.whole - found.nothing) + 0.1
    tokens = attribute(musicgen, clip, units=TokenUnits(Positions("generated")), technique="gradient")
    assert len(tokens.values) == len(tokens.names) > 3


def test_a_resampled_token_is_that_of_the_other_sample(talker):
    """Without any of its own tokens a prompt is the other prompt; without one, that one is the other's."""
    other = replace(ASKED, id="b", prompt="red sky")
    units = TokenUnits().resampled(talker, replace(other, output=None))
    found = attribute(talker, ASKED, units=units, technique="occlusion")
    theirs = float(output_likelihood(talker, [other])[0, 0])
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-4)
    assert found.nothing == pytest.approx(theirs, abs=1e-4)
    assert abs(found.whole - theirs) > 1e-2
    alike = [value for name, value in zip(found.names, found.values.tolist(), strict=True) if name != "blue"]
    assert max(map(abs, alike)) < 1e-4  # the prompts differ in one word
    assert float(found.values[found.names.index("blue")]) == pytest.approx(found.whole - theirs, abs=1e-4)


def test_a_resampled_component_writes_what_it_writes_in_the_other_sample(talker):
    """Below the first block nothing differs but the prompt, so its MLP's value is worked out by a hook."""
    other = replace(ASKED, id="b", prompt="red sky")
    site, kept = Site("text", 1, "mlp"), []
    with hooks.readings({talker.port(site): lambda state: kept.append(state.clone())}):
        output_likelihood(talker, [other])

    def swapped(hidden):
        return torch.cat([hidden[:, :1], kept[0][:, 1:]], dim=1)

    with hooks.edits({talker.port(site): swapped}):
        wanted = float(output_likelihood(talker, [ASKED])[0, 0])
    units = ComponentUnits("text.1.mlp").resampled(talker, other)
    found = attribute(talker, ASKED, units=units, technique="integrated-gradients", effort=Effort(steps=64))
    assert found.nothing == pytest.approx(wanted, abs=1e-4)
    assert abs(found.whole - wanted) > 1e-3
    assert abs(found.missing) < 1e-3


def test_a_shorter_sample_is_counted_from_its_first_token_again(talker):
    short = TokenUnits(Positions("last")).resampled(talker, replace(ASKED, prompt="red sky"))
    units = replace(short, positions=Positions("prompt - first"))
    (state,) = short.baseline.states.values()
    assert state.shape[0] == 1
    found = attribute(talker, ASKED, units=units, technique="occlusion")
    long = replace(short.baseline, states={site: one.repeat(9, 1) for site, one in short.baseline.states.items()})
    again = attribute(talker, ASKED, units=replace(units, baseline=long), technique="occlusion")
    torch.testing.assert_close(found.values, again.values)


def test_patches_of_another_image(llava):
    sample = Sample("a", "What is this?", (picture(),), "red")
    other = replace(sample, images=(picture().transpose(Transpose.FLIP_LEFT_RIGHT),))
    found = attribute(llava, sample, units=TokenUnits(Positions("image")).resampled(llava, other), technique="shapley")
    assert found.nothing == pytest.approx(float(output_likelihood(llava, [other])[0, 0]), abs=1e-4)
    assert abs(found.whole - found.nothing) > 1e-4


def test_frames_of_a_clip(musicgen):
    clip = musicgen.generate([Sample("a", "tune")], Sampling(seconds=0.4), [1])[0]
    found = attribute(musicgen, clip, units=FrameUnits(), technique="occlusion")
    starts = [float(name.removesuffix(" s")) for name in found.names]
    assert starts[:3] == pytest.approx([at / musicgen.rate for at in range(3)], abs=1e-3)
    late = FrameUnits(Positions("generated & 0.2..9s"))
    assert attribute(musicgen, clip, units=late, technique="gradient").names[0] == found.names[starts.index(0.2) - 1]
    assert found.kind == "frames"


@pytest.mark.parametrize("line", ["d 0.8", "d 0.5token by rotate", "d 0.7 by clamp", "d 3abs on text.2 at generated"])
def test_a_steered_output_is_of_the_steered_model(talker, line):
    steering = parse_steering(line, {"d": planted(talker, "d", [1, 2])})
    found = attribute(talker, ASKED, effort=Effort(steps=128), steering=steering)
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED], steering)[0, 0]), abs=1e-4)
    assert abs(found.whole - float(output_likelihood(talker, [ASKED])[0, 0])) > 0.1
    assert abs(found.missing) < 2e-2


def test_schedules_of_a_clip_are_followed(musicgen):
    clip = musicgen.generate([Sample("a", "tune")], Sampling(seconds=0.2), [1])[0]
    steering = parse_steering("d 0.5 fade-in 0..100%", {"d": planted(musicgen, "d", [1, 2])})
    found = attribute(musicgen, clip, units=FrameUnits(), technique="gradient", steering=steering)
    assert found.whole == pytest.approx(float(output_likelihood(musicgen, [clip], steering)[0, 0]), abs=1e-4)
    assert abs(found.whole - float(output_likelihood(musicgen, [clip])[0, 0])) > 1e-2


@pytest.mark.parametrize("line", ["word:cup 3 window(0%..50%)", "word:cup 3 fade-out 0..100%"])
def test_a_steered_text_is_as_likely_as_where_it_was_generated(talker, line):
    """The sum of the log-probabilities that the steered model gave while it generated."""
    steering = parse_steering(line, {"word:cup": saying(talker, "cup", "word:cup")})
    ids = talker.reading([Sample("a", "red blue")]).arguments["input_ids"]
    with steer(talker, steering):
        (made,) = talker.generate(["red blue"], Sampling(tokens=6, temperature=0.0))
        out = talker.model.generate(
            ids, max_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    wanted = sum(float(logits[0].log_softmax(-1).max()) for logits in out.logits)
    sample = replace(made, id="a")
    found = attribute(talker, sample, technique="gradient", steering=steering, steps=6)
    assert found.whole == pytest.approx(wanted, abs=1e-4)
    assert abs(found.whole - attribute(talker, sample, technique="gradient").whole) > 0.1


def test_a_window_may_begin_behind_a_short_output(talker):
    steering = parse_steering("word:cup 3 window(5steps..9steps)", {"word:cup": saying(talker, "cup", "word:cup")})
    found = attribute(talker, ASKED, technique="gradient", steering=steering, steps=12)
    assert found.whole == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-4)
    with pytest.raises(SteeringError, match="0 at each of the 5 steps"):
        attribute(talker, ASKED, technique="gradient", steering=steering, steps=5)


def test_a_push_stays_where_its_component_is_taken_away(talker):
    """The component writes nothing, and the push is still there: by hand, a hook that puts the push in its place."""
    mlp, block = Site("text", 1, "mlp"), planted(talker, "d", [1])
    (vector,), (stats,) = block.vectors.values(), block.stats.values()
    push = replace(block, vectors={mlp: vector}, stats={mlp: stats})
    with hooks.edits({talker.port(mlp): lambda hidden: 0 * hidden + 3 * vector}):
        wanted = float(output_likelihood(talker, [ASKED])[0, 0])
    units = ComponentUnits("text.1.mlp", "zero", Positions("all"))
    steering = parse_steering("d 3abs", {"d": push})
    found = attribute(talker, ASKED, units=units, technique="occlusion", steering=steering)
    assert found.nothing == pytest.approx(wanted, abs=1e-4)


def test_random_weights_destroy_the_map(talker):
    """Adebayo et al. 2018: what does not depend on the weights explains nothing."""
    before = attribute(talker, ASKED, technique="integrated-gradients").values
    model = talker.model
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        torch.manual_seed(1)
        for part in model.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=float(part.weight.detach().std()))
        after = attribute(talker, ASKED, technique="integrated-gradients").values
    finally:
        model.load_state_dict(kept)
    assert abs(float(torch.corrcoef(torch.stack([before, after]))[0, 1])) < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"technique": "magic"}, "no technique 'magic'"),
        ({"technique": "influence"}, "not for parts of a forward: nothing is learned"),
        ({"technique": "datamodels"}, "not for parts of a forward: .* lime"),
        ({"units": TokenUnits(Positions("image"))}, "select no token"),
        ({"units": FrameUnits()}, "no duration; take tokens"),
        ({"units": ComponentUnits("text.*")}, "is the residual stream"),
        (
            {"units": ComponentUnits("text.*.head.*, text.*.mlp, text.*.attention"), "technique": "exact-shapley"},
            f"take at most {MOST_EXACT}",
        ),
    ],
)
def test_what_cannot_be_combined_is_refused(talker, options, message):
    with pytest.raises(AttributionError, match=message):
        attribute(talker, ASKED, **options)


def test_another_stack_is_refused(llava):
    sample = Sample("a", "What is this?", (picture(),), "red")
    with pytest.raises(AttributionError, match="in the stack that makes them, text"):
        attribute(llava, sample, units=ComponentUnits("vision.*.mlp"))
    with pytest.raises(AttributionError, match="in the stack that makes them, text"):
        ComponentUnits("vision.*.mlp").resampled(llava, sample)


def test_units_that_are_none_are_refused(talker, monkeypatch):
    with pytest.raises(AttributionError, match="no baseline"):
        TokenUnits(baseline="other")
    with pytest.raises(AttributionError, match="nothing to put in the place of a unit: the positions 'image'"):
        TokenUnits(Positions("image")).resampled(talker, ASKED)
    with pytest.raises(AttributionError, match="not change over time"):
        VectorUnits(Steering((Attribute(planted(talker, "d", [1]), 0.1, unit="token"),)))
    with pytest.raises(AttributionError, match="null branch alone"):
        VectorUnits(Steering((Attribute(planted(talker, "d", [1]), 0.1, branch="null"),)))
    with pytest.raises(AttributionError, match="not composed"):
        VectorUnits(Steering((Attribute(planted(talker, "d", [1]), 0.1),), budget=0.2))
    with pytest.raises(AttributionError, match="not given"):
        attribute(talker, replace(ASKED, output=None))
    vectors = VectorUnits(Steering((Attribute(planted(talker, "d", [1]), 0.1),)))
    monkeypatch.setattr(talker, "read", None)  # refused before any forward
    with pytest.raises(AttributionError, match="the slope in its share is gradient"):
        attribute(talker, ASKED, units=vectors, technique="saliency")
    monkeypatch.undo()
    with pytest.raises(AttributionError, match="has no 'zebra'"):
        of_words(talker, ASKED, "zebra")


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_no_generator_takes(seed):
    with pytest.raises(AttributionError, match=r"a whole number from 0 to 2\*\*64 - 1"):
        Effort(seed=seed)
