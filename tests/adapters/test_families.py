"""What holds for every family: sites that count, states that the next layer receives, masks that name tokens."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from mmsteer import hooks
from mmsteer.adapters import LanguageModelAdapter
from mmsteer.adapters.language_model import ANY_LENGTH
from mmsteer.errors import AdapterError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import WRITTEN, Direction, Kind, Positions, Sample, Sampling, Site, SiteStats, Tokens
from tests.adapters.checkpoints import FAMILIES, IMAGE, TEXT, VISION
from tests.conftest import outputs

PLAIN = (
    "llama",
    "llama4_text",
    "gemma3n_text",
    "opt",
    "mamba",
    "mamba2",
    "xlstm",
    "recurrent_gemma",
    "qwen3_next",
    "olmo2",
    "bloom",
    "mpt",
)
UNREAD = {"llava": 3, "llava_next": 3, "vipllava": 3}
"""Layers of the tower whose output these models do not read: they take the last but one."""

FIRST_TOKEN = {"llava", "llava_next", "vipllava", "instructblip", "internvl", "llama4", "mllama"}
"""Families whose tower has a class token."""

QUERIES = {"instructblip"}
DEEPSTACK = {"qwen3_vl": 2, "qwen3_vl_moe": 2}
UNREPEATED = {"llama4"}
UNORDERED = {"xlstm"}
"""Families whose cache transformers cannot reorder, as beams need it: its own error."""

WIDER = {"xlstm": {"hidden_size": 128}}
GATED = {"mllama"}
BLOCKLESS = {("gemma3n", "vision")}
"""Towers that have no blocks: convolutional ones."""

LOOKUPS = {("ovis2", "projector"), ("gemma3n", "projector")}
"""What also looks up the tokens that stand beside an image."""

LAYER_INPUTS = {"gemma3n", "gemma3n_text", "gemma4"}
PADDED = GATED | {"idefics3", "smolvlm", "lfm2_vl", "gemma4"}
"""Families that pad images to one size."""

EVERY = {"block", "embedding", "head", "attention", "mid", "mlp_input", "mlp"}
POINTS_OF = {name: {"block", "embedding"} for name in ("mamba", "mamba2", "xlstm")}
"""The points of families that do not have all."""
PARALLEL = {("aya_vision", "text"), ("cohere2_vision", "text")}
"""Stacks whose attention and MLP read the same norm: no state between them."""

WORD = 13
"""The first token that is a word in every family. A model that says the image's own would be shown an image there."""

UNWRITTEN = {
    (name, point)
    for name in ("gemma3", "gemma3n", "gemma3n_text", "gemma4", "glm4v", "glm46v", "olmo2")
    for point in ("attention", "mlp")
}
UNWRITTEN |= {(name, "mlp") for name in ("qwen3_next", "qwen3_vl_moe", "qwen3_5_moe")}
UNWRITTEN_IN_TOWERS = {("gemma4", "attention"), ("gemma4", "mlp")}
"""Parts that no linear layer writes: a norm, or several experts."""

# numpy 2 complains of how PaliGemma's processor makes an array of a tensor.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def adapter(families, family) -> LanguageModelAdapter:
    return families(family)


def samples(family, *answers):
    torch.manual_seed(0)
    sizes = [(40, 30), (20, 30)]
    pictures = [() if family in PLAIN else (picture(size),) for size in sizes]
    prompts = ["describe the image", "is there a cup in the image"]
    return [
        Sample(str(place), prompt, seen, answer)
        for place, (seen, prompt, answer) in enumerate(zip(pictures, prompts, answers or (None, None), strict=True))
    ]


def picture(size):
    # Colours that differ from pixel to pixel, the same in every run.
    ramp = torch.arange(3 * size[0] * size[1]) * 37 % 251
    return Image.fromarray(ramp.view(size[1], size[0], 3).to(torch.uint8).numpy())


def stacks(adapter):
    return sorted({site.stack for site in adapter.sites})


def everywhere(adapter):
    """A random unit direction at every site; strength 1 adds a vector of norm 1."""
    generator = torch.Generator().manual_seed(5)
    draws = {site: torch.randn(width, generator=generator) for site, width in adapter.widths.items()}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    return Direction("c", vectors, {site: SiteStats(0.9, 0.0, 1.0, 1.0) for site in vectors}, adapter.fingerprint)


def steering(adapter, strength=1.0, **fields):
    """Steering at every block that the model reads, or at those that `sites` names."""
    unread = UNREAD.get(adapter.model.config.model_type)
    read = [str(site) for site in adapter.sites if (site.stack, site.layer) != ("vision", unread)]
    fields = {"sites": ", ".join(read)} | fields
    return Steering((Attribute(everywhere(adapter), strength, parse_schedule("constant(1)"), **fields),))


def layouts(adapter, run):
    """The tokens of every forward of every stack while something runs."""
    seen: dict[str, list] = {stack: [] for stack in stacks(adapter)}
    prompt: list[int] = []

    def ticking(stack):
        def tick(arguments):
            forward = adapter.forward(stack, arguments)
            seen[stack].append((forward, adapter.layout(stack, forward, arguments, prompt[0])))

        return tick

    with ExitStack() as exits:
        for stack in seen:
            exits.enter_context(hooks.clock(adapter.stack(stack), ticking(stack)))
        run(prompt)
    return seen


def test_every_layer_is_found(adapter, family):
    counts = {stack: 1 + max(site.layer for site in adapter.sites if site.stack == stack) for stack in stacks(adapter)}
    vision = {} if family in PLAIN else {"projector": 1, "vision": VISION["num_hidden_layers"] + 2 * (family in GATED)}
    vision = {stack: count for stack, count in vision.items() if (family, stack) not in BLOCKLESS}
    assert counts == {"text": TEXT["num_hidden_layers"], **vision}
    sizes = {"vision": VISION} | dict.fromkeys(("text", "projector"), TEXT | WIDER.get(family, {}))
    for site, width in adapter.widths.items():
        parts = 1 if site.head is None else sizes[site.stack]["num_attention_heads"]
        assert width == sizes[site.stack]["hidden_size"] // parts
    assert {site.point for site in adapter.sites} == {"block"}
    points = {(site.stack, site.point) for site in adapter.widths if site.stack != "projector"}
    assert {stack: [] for stack in stacks(adapter) if stack != "projector"} == {
        stack: sorted(
            POINTS_OF.get(family, EVERY)
            - ({"mid"} if (family, stack) in PARALLEL else set())
            - {point for at, point in points if at == stack}
        )
        for stack in {stack for stack, _ in points}
    }


def test_sites_of_a_stack_sort_as_the_model_computes_them(adapter, family):
    for stack in stacks(adapter):
        mine = [site for site in adapter.widths if site.stack == stack]
        assert sorted(reversed(mine)) == mine


LONGEST = {"mamba": ANY_LENGTH, "mamba2": ANY_LENGTH, "xlstm": ANY_LENGTH, "bloom": ANY_LENGTH}


def test_a_configuration_need_not_say_how_long_a_sequence_gets(adapter, family):
    assert adapter.max_steps == LONGEST.get(family, 256)
    if family in LONGEST:
        adapter.steps(Sampling(tokens=ANY_LENGTH))
    with pytest.raises(AdapterError, match=f"choose from 1 to {adapter.max_steps}"):
        adapter.steps(Sampling(tokens=adapter.max_steps + 1))


def test_an_edit_at_every_site_reaches_the_logits(adapter, family):
    reading = adapter.reading(samples(family))
    plain = adapter.read(reading)
    noise = torch.Generator().manual_seed(1)
    silent = []
    for site, width in adapter.widths.items():
        bump = torch.randn(width, generator=noise)
        with hooks.edits({adapter.port(site): lambda state, bump=bump: state + bump}):
            if torch.equal(adapter.read(reading), plain):
                silent.append(site)
    unread = UNREAD.get(family)
    lost = [site for site in silent if (site.stack, site.layer) != ("vision", unread)]
    assert [site for site in silent if site not in lost] == [
        site for site in adapter.widths if (site.stack, site.layer) == ("vision", unread)
    ]
    # InstructBLIP's tower is initialised with weights of 1e-10, through which what its layers are given vanishes.
    assert not lost or (family == "instructblip" and {one.point for one in lost} <= {"mlp_input", "head"})
    assert torch.equal(adapter.read(reading), plain)


def test_zero_strength_changes_no_bit(adapter, family):
    some = samples(family)
    reading = adapter.reading(some)
    plain = adapter.read(reading)
    with steer(adapter, steering(adapter, 0.0)) as session, session.call(reading.call):
        assert torch.equal(adapter.read(reading), plain)
    with steer(adapter, steering(adapter)) as session, session.call(reading.call):
        assert not torch.equal(adapter.read(reading), plain)
    with steer(adapter, [Steering(), steering(adapter, sites="text.*")]) as session, session.call(reading.call):
        steered = adapter.read(reading)
    assert torch.equal(steered[0], plain[0])
    assert not torch.equal(steered[1], plain[1])


def test_states_are_what_the_next_layer_receives(adapter, family):
    inputs, outputs = {}, {}
    blocks = [site for site in adapter.sites if site.point == "block" and site.stack != "projector"]

    def receive(site):
        def tick(arguments):
            state = next(iter(arguments.values()))
            inputs[site] = state.reshape(-1, *state.shape[-2:])

        return tick

    with ExitStack() as exits:
        for site in blocks:
            exits.enter_context(hooks.clock(adapter.module(site), receive(site)))
        readers = {adapter.module(site): lambda state, site=site: outputs.update({site: state}) for site in blocks}
        exits.enter_context(hooks.readings(readers))
        reading = adapter.reading(samples(family))
        adapter.read(reading)
    for site in blocks:
        after = Site(site.stack, site.layer + 1)
        if after not in inputs or (family in GATED and after == Site("vision", VISION["num_hidden_layers"])):
            continue
        same = (outputs[site] == inputs[after]).all(-1)
        if site.stack == "text" and site.layer < DEEPSTACK.get(family, 0):
            ids = reading.arguments["input_ids"]
            assert torch.equal(same, ids != adapter.model.config.image_token_id)
        else:
            assert same.all(), site


def test_parts_are_what_a_block_adds(adapter, family):
    if family in GATED | LAYER_INPUTS or family in POINTS_OF:
        pytest.skip("its cross-attention layers scale what they add, a block has a further input, or it has no parts")
    states = {}
    sites = [Site("text", 0), *(Site("text", 1, point) for point in ("block", "attention", "mlp"))]
    readers = {adapter.port(site): lambda state, site=site: states.update({site: state}) for site in sites}
    with hooks.readings(readers):
        reading = adapter.reading(samples(family))
        adapter.read(reading)
    ids = reading.arguments["input_ids"]
    words = ids != getattr(adapter.model.config, "image_token_id", -1)
    # OPT's MLP has the tokens of all rows in one.
    before, block, attention, mlp = (states[site].reshape(*ids.shape, -1)[words] for site in sites)
    torch.testing.assert_close(block - before, attention + mlp, atol=1e-5, rtol=1e-4)


def first_tokens(stack, family, reading, rows):
    if stack != "vision" or family not in FIRST_TOKEN:
        return [0] * rows
    return reading.arguments["aspect_ratio_mask"].sum((1, 2)).tolist() if family in GATED else [1] * rows


def expected_kinds(adapter, family, ids, real, prompt, start=0):
    """Kinds written out token by token, from the tokens themselves."""
    image = IMAGE if family in QUERIES else getattr(adapter.model.config, "image_token_id", None)
    rows = []
    for row, mask in zip(ids.tolist(), real.tolist(), strict=True):
        kinds = []
        first = mask.index(1)
        last = max(place for place in range(prompt) if mask[place])
        for place in range(start, len(row)):
            token = row[place]
            kind = Kind.PROMPT if place < prompt else Kind.GENERATED
            kind |= Kind.IMAGE if token == image and family not in GATED else Kind.TEXT
            kind |= Kind.FIRST if place == first else Kind.PADDING
            kind |= Kind.LAST if place == last else Kind.PADDING
            kinds.append(int(kind) if mask[place] else 0)
        rows.append(kinds)
    return torch.tensor(rows)


def test_masks_name_their_tokens_in_a_reading(adapter, family):
    reading = adapter.reading(samples(family, None, "yes the image"))
    ids, real = (reading.arguments[name] for name in ("input_ids", "attention_mask"))

    def run(prompt):
        prompt.append(reading.call.prompt)
        adapter.read(reading)

    seen = layouts(adapter, run)
    (forward, layout), *more = seen["text"]
    assert not more
    assert (forward.rows, forward.width) == tuple(ids.shape)
    assert torch.equal(layout.kinds, expected_kinds(adapter, family, ids, real, reading.call.prompt))
    assert layout.origin == reading.call.prompt - 1
    for stack in set(seen) - {"text"}:
        states = []
        with hooks.readings({adapter.port(Site(stack, 0)): states.append}):
            adapter.read(reading)
        images = [place for place, (_, one) in enumerate(seen[stack]) if one.kinds.any()]
        assert len(images) == 1
        assert len(states) == len(seen[stack]) == 1 + ((family, stack) in LOOKUPS)
        forward, layout = seen[stack][images[0]]
        assert states[images[0]].shape[:2] == layout.kinds.shape == (forward.rows, forward.width)
        chosen = Positions("image").mask(Tokens(layout.kinds, torch.zeros(forward.width)))
        assert chosen.all() or family in PADDED
        firsts = Positions("first").mask(Tokens(layout.kinds, torch.zeros(forward.width)))
        assert (stack, family) != ("vision", "llama4") or firsts[:, -1].all()
        # Padding tiles of Mllama have class tokens that count for nothing.
        assert (firsts & chosen).sum(1).tolist() == first_tokens(stack, family, reading, forward.rows)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
def test_masks_name_their_tokens_in_generation(adapter, family, more):
    if more and family in UNREPEATED:
        pytest.skip("transformers does not repeat its images for beams and return sequences")
    if "num_beams" in more and family in UNORDERED:
        pytest.skip("transformers cannot reorder its cache for beams")
    inputs = adapter.reading(samples(family)).arguments
    inputs = {name: value for name, value in inputs.items() if name != "position_ids"}
    options = {"max_new_tokens": 3, "min_new_tokens": 3, "pad_token_id": 0, **more}
    times = max(options.get("num_beams", 1), options.get("num_return_sequences", 1))

    def run(prompt):
        call = adapter.call({**inputs, **options})
        assert call.steps == 3
        prompt.append(call.prompt)
        torch.manual_seed(0)
        output = adapter.model.generate(**inputs, **options)
        assert adapter.produced(output, call) == 3

    (forward, layout), *later = layouts(adapter, run)["text"]
    ids, real = (inputs[name].repeat_interleave(times, 0) for name in ("input_ids", "attention_mask"))
    assert forward.rows == 2 * times
    assert torch.equal(layout.kinds, expected_kinds(adapter, family, ids, real, ids.shape[1]))
    assert [(int(one.start), one.width) for one, _ in later] == [(ids.shape[1], 1), (ids.shape[1] + 1, 1)]
    assert all((found.kinds == int(Kind.GENERATED | Kind.TEXT)).all() for _, found in later)


def test_answers_are_read_as_they_are_generated(adapter, family, monkeypatch):
    some = samples(family)
    site = Site("text", TEXT["num_hidden_layers"] - 1)
    states = []
    inputs = {name: value for name, value in adapter.reading(some).arguments.items() if name != "position_ids"}
    with hooks.readings({adapter.port(site): states.append}):
        options = {"max_new_tokens": 4, "min_new_tokens": 4, "suppress_tokens": [*range(WORD)]}
        output = adapter.model.generate(**inputs, **options, do_sample=False)
        generated = torch.cat(states, dim=1)
        answers = output[:, -4:-1].tolist()
        monkeypatch.setattr(adapter._prompts, "words", lambda text: answers[int(text)])
        states.clear()
        answered = [replace(one, output=str(place)) for place, one in enumerate(some)]
        reading = adapter.reading(answered)
        adapter.read(reading)
    real = reading.arguments["attention_mask"].bool()
    assert real[:, -3:].all()
    torch.testing.assert_close(states[0][real], generated[real], atol=1e-5, rtol=1e-4)


def test_generation_is_that_of_a_plain_loop_with_hooks_by_hand(adapter, family, monkeypatch):
    sample, *_ = samples(family)
    inputs = {name: value for name, value in adapter.reading([sample]).arguments.items() if name != "position_ids"}
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "suppress_tokens": [*range(WORD)], "do_sample": False}
    plain = adapter.model.generate(**inputs, **options)[0, -6:].tolist()
    sites = [site for site in ("text.1", "vision.1", "projector.0") if Site.parse(site) in adapter.widths]
    with steer(adapter, steering(adapter, 20.0, sites=", ".join(sites))):
        steered = adapter.model.generate(**inputs, **options)[0, -6:].tolist()
    said: list[int] = []
    monkeypatch.setattr(adapter._prompts, "words", lambda _: said)
    vectors = everywhere(adapter).vectors
    with ExitStack() as exits:
        for site in sites:
            push = 20.0 * vectors[Site.parse(site)]
            handle = adapter.module(Site.parse(site)).register_forward_hook(
                partial(pushed, push, adapter.port(Site.parse(site)).stream), with_kwargs=True
            )
            exits.callback(handle.remove)
        while len(said) < 6:
            logits = adapter.read(adapter.reading([replace(sample, output="said" if said else None)]))
            said.append(WORD + int(logits[0, -1, 0, WORD:].argmax()))
    assert steered == said
    assert steered != plain


def pushed(push, stream, _, args, named, output):
    """What torch's own hook returns: the output moved by a push, unless it is a lookup of tokens beside the image."""
    if not next(iter((*args, *named.values()))).is_floating_point():
        return output
    if stream is not None:
        return torch.stack([one + push if at == stream else one for at, one in enumerate(output)])
    return (output[0] + push, *output[1:]) if isinstance(output, tuple) else output + push


def test_the_writer_of_a_part_makes_its_output(adapter, family):
    for site in adapter.widths:
        unwritten = UNWRITTEN if site.stack == "text" else UNWRITTEN_IN_TOWERS
        if site.point not in WRITTEN or site.layer or (family, site.point) in unwritten:
            continue
        part, writer = [], []
        with hooks.readings({adapter.module(site): part.append}), hooks.readings({adapter.writer(site): writer.append}):
            adapter.canary()
        assert torch.equal(part[0].flatten(), writer[0].flatten())


@pytest.mark.parametrize(
    ("name", "site", "message"),
    [
        ("gemma3", Site("text", 0, "mlp"), "no linear layer writes there"),
        ("llava", Site("text", 0), "a whole block is not written by one layer"),
    ],
)
def test_what_no_linear_layer_writes(families, name, site, message):
    with pytest.raises(AdapterError, match=message):
        families(name).writer(site)


def test_generation_is_steered(adapter, family):
    some = samples(family)
    plain = outputs(adapter.generate(some, Sampling(4)))
    with steer(adapter, steering(adapter, 50.0)) as session:
        steered = adapter.generate(some, Sampling(4))
    assert len(plain) == len(steered) == 2
    receipt = session.receipt()
    assert receipt.tokens > 0
    assert receipt.calls == 1
    assert outputs(adapter.generate(some, Sampling(4))) == plain


def test_the_next_word_is_the_first_that_greedy_search_says(adapter, family):
    some = samples(family)
    words = ["yes", "no", "cup", "table"]
    odds = adapter.next_word(some, words)
    inputs = {name: value for name, value in adapter.reading(some).arguments.items() if name != "position_ids"}
    found = adapter.model.generate(
        **inputs, max_new_tokens=1, output_scores=True, return_dict_in_generate=True, do_sample=False
    )
    ids = [adapter._prompts.words(word)[0] for word in words]
    torch.testing.assert_close(odds, found.scores[0].float().log_softmax(-1)[:, ids], atol=1e-5, rtol=1e-4)
