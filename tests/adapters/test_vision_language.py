"""What LLaVA-type models share, on the smallest LLaVA there can be; and plain language models."""

import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, CompileConfig, LogitsProcessor

from mmsteer import hooks
from mmsteer.adapters import LanguageModelAdapter, adapt, load
from mmsteer.errors import AdapterError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Kind, Positions, Sample, Sampling, Site, SiteStats
from tests.adapters.checkpoints import IMAGE, save
from tests.adapters.test_families import layouts, picture
from tests.conftest import outputs, planted

PROMPTS = ["describe the image", "is there a cup in the image"]
SEEN, SAID, MADE = Kind.IMAGE | Kind.PROMPT, Kind.TEXT | Kind.PROMPT, Kind.TEXT | Kind.GENERATED


def samples(answers=(None, None), pictures=((40, 30), (20, 30))):
    rows = zip(PROMPTS, pictures, answers, strict=True)
    return [Sample(str(row), text, (picture(size),), answer) for row, (text, size, answer) in enumerate(rows)]


def steering(adapter, site, strength=1.0, **fields):
    draw = torch.randn(adapter.widths[site], generator=torch.Generator().manual_seed(0))
    direction = Direction("c", {site: draw / draw.norm()}, {site: SiteStats(0.9, 0.0, 1.0, 1.0)}, adapter.fingerprint)
    return Steering((Attribute(direction, strength, parse_schedule("constant(1)"), **fields),))


def test_the_decoder_is_found_where_the_tower_is_deeper(llava):
    assert {site.stack: site.layer for site in llava.sites} == {"text": 2, "vision": 3, "projector": 0}
    assert llava.module(Site("text", 0)) is llava.model.model.language_model.layers[0]
    tower = llava.model.model.vision_tower
    # Older releases keep the tower's own tower in `vision_model`.
    assert llava.module(Site("vision", 0)) is getattr(tower, "vision_model", tower).encoder.layers[0]
    assert llava.module(Site("projector", 0)) is llava.model.model.multi_modal_projector


def test_masks_written_out_by_hand(llava):
    reading = llava.reading(samples((None, "yes the image")))
    # user : <image> x 4, describe the image | is there a cup in the image, assistant : | yes the image
    begin, end = [SAID | Kind.FIRST, SAID, *[SEEN] * 4], [SAID, SAID | Kind.LAST]
    expected = [[*[0] * 4, *begin, *[SAID] * 3, *end, 0, 0, 0], [*begin, *[SAID] * 7, *end, MADE, MADE, MADE]]

    def run(prompt):
        prompt.append(reading.call.prompt)
        llava.read(reading)

    seen = layouts(llava, run)
    assert seen["text"][0][1].kinds.tolist() == expected
    (forward, layout), *_ = seen["vision"]
    assert (forward.rows, forward.width) == (2, 5)
    assert layout.kinds.tolist() == [[Kind.IMAGE | Kind.FIRST] + [Kind.IMAGE] * 4] * 2
    assert seen["projector"][0][1].kinds.tolist() == [[Kind.IMAGE] * 4] * 2


def test_several_images_in_one_prompt(llava):
    both = [
        Sample("0", PROMPTS[0], (picture((40, 30)), picture((20, 30)))),
        Sample("1", PROMPTS[1], (picture((8, 8)),)),
    ]
    reading = llava.reading(both)
    assert (reading.arguments["input_ids"] == IMAGE).sum(1).tolist() == [8, 4]
    assert reading.arguments["pixel_values"].shape[0] == 3
    alone = llava.reading(both[:1])
    torch.testing.assert_close(llava.read(reading)[0, -1], llava.read(alone)[0, -1], atol=1e-5, rtol=1e-4)
    assert len(llava.generate(both, Sampling(3))) == 2


def test_padding_changes_no_row(llava):
    together = llava.read(llava.reading(samples(("yes", "no the cup"))))
    for row, one in enumerate(samples(("yes", "no the cup"))):
        reading = llava.reading([one])
        alone = llava.read(reading)[0]
        start = together.shape[1] - 3 - reading.call.prompt
        torch.testing.assert_close(together[row, start : start + len(alone)], alone, atol=1e-5, rtol=1e-4)


def image_features(adapter):
    with torch.no_grad():
        pixels = adapter.reading(samples()).arguments["pixel_values"]
        return torch.stack(list(adapter.model.get_image_features(pixels).pooler_output))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_vision_layers_are_steered_after_a_capture_of_hidden_states(llava, layer):
    arguments = llava.reading(samples()).arguments
    with torch.no_grad():  # transformers leaves its own hooks behind, on the layers
        llava.model(**arguments, output_hidden_states=True)
    plain = image_features(llava)
    with steer(llava, steering(llava, Site("vision", layer))):
        assert not torch.equal(image_features(llava), plain)
    assert torch.equal(image_features(llava), plain)


def test_a_hook_behind_that_capture_is_not_heard(llava):
    """What goes wrong without care: the negative control of the test above."""
    with torch.no_grad():
        llava.model(**llava.reading(samples()).arguments, output_hidden_states=True)
    plain = image_features(llava)
    late = llava.module(Site("vision", 2)).register_forward_hook(lambda _, __, state: state + 1.0)
    assert torch.equal(image_features(llava), plain)
    late.remove()


def test_the_vision_layer_that_nobody_reads_is_refused(llava):
    with pytest.raises(SteeringError, match=r"vision\.3"), steer(llava, steering(llava, Site("vision", 3))):
        pass


def test_steering_the_image_tokens_alone(llava):
    site = Site("text", 1)
    direction = steering(llava, site).attributes[0].direction.vectors[site]
    reading = llava.reading(samples())
    states = []
    with hooks.readings({llava.module(site): states.append}):
        llava.read(reading)
        positions = steering(llava, site, positions=Positions("image"))
        with steer(llava, positions) as session, session.call(reading.call):
            states[1:] = []
            llava.read(reading)
    along = (states[-1] - states[0]) @ direction
    torch.testing.assert_close(along, (reading.arguments["input_ids"] == IMAGE).float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_vl", "llama"])
def test_a_static_cache_sees_the_same_tokens(families, family):
    adapter = families(family)
    some = (
        samples(pictures=((20, 30), (40, 30)))
        if family != "llama"
        else [Sample(str(row), text) for row, text in enumerate(PROMPTS)]
    )
    inputs = {key: value for key, value in adapter.reading(some).arguments.items() if key != "position_ids"}

    def prompt_kinds(**more):
        def run(prompt):
            prompt.append(inputs["input_ids"].shape[1])
            adapter.model.generate(**inputs, max_new_tokens=2, min_new_tokens=2, disable_compile=True, **more)

        return layouts(adapter, run)["text"][0][1].kinds

    dynamic = prompt_kinds()
    assert (dynamic == 0).any()
    assert torch.equal(prompt_kinds(cache_implementation="static"), dynamic)


def test_compiled_generation_is_steered_as_eager_generation_is(tmp_path):
    torch.compiler.reset()
    llava = load(save("llava", tmp_path))
    inputs = {key: value for key, value in llava.reading(samples()).arguments.items() if key != "position_ids"}
    config = CompileConfig(backend="eager", mode=None)
    config._compile_all_devices = True
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    plain = llava.model.generate(**inputs, **options)
    with steer(llava, planted_steering(llava)):
        eager = llava.model.generate(**inputs, **options)
    with steer(llava, planted_steering(llava)) as session:
        compiled = llava.model.generate(**inputs, **options, cache_implementation="static", compile_config=config)
    assert torch.equal(compiled, eager)
    assert not torch.equal(compiled, plain)
    assert session.receipt().steps == 8
    torch.compiler.reset()


def planted_steering(adapter):
    return Steering((Attribute(planted(adapter, "c", range(3)), 2.0, parse_schedule("constant(1)")),))


def test_stopping_early_and_outputs_of_every_form(llava):
    inputs = {key: value for key, value in llava.reading(samples()).arguments.items() if key != "position_ids"}
    prompt = inputs["input_ids"].shape[1]
    first = llava.model.generate(**inputs, max_new_tokens=6, min_new_tokens=6)[:, prompt:]
    stop = sorted({int(first[0, 1]), int(first[1, 1])})
    options = {**inputs, "max_new_tokens": 6, "eos_token_id": stop, "return_dict_in_generate": True}
    with steer(llava, Steering()):
        output = llava.model.generate(**options)
    assert output.sequences.shape[1] - prompt < 6
    call = llava.call(options)
    assert call.steps == 6
    assert llava.produced(output, call) == llava.produced(output.sequences, call) == output.sequences.shape[1] - prompt


@pytest.mark.parametrize("family", ["llava", "instructblip", "llama"])
def test_the_arguments_of_generate(families, family):
    adapter = families(family)
    ids = torch.ones(1, 7, dtype=torch.long)
    assert adapter.call({"input_ids": ids, "max_new_tokens": 5}).steps == 5
    assert adapter.call({"inputs": ids, "max_length": 10}).steps == 3
    assert adapter.call({"input_ids": ids}).steps == 20
    assert adapter.call({"input_ids": ids}).prompt == 7
    embeds = adapter.call({"inputs_embeds": torch.zeros(1, 7, 32), "max_length": 10})
    assert (embeds.steps, embeds.prompt, embeds.repeated) == (3, 7, 0)
    assert adapter.produced(torch.zeros(1, 4), embeds) == 4
    with pytest.raises(AdapterError, match="guidance_scale"):
        adapter.call({"input_ids": ids, "guidance_scale": 1.5})


def test_sampling_is_the_same_in_any_batch(llava):
    drawn = Sampling(8, temperature=1.0)
    together = outputs(llava.generate(samples(), drawn, [3, 4]))
    assert together[1:] == outputs(llava.generate(samples()[1:], drawn, [4]))
    assert together != outputs(llava.generate(samples(), drawn, [5, 6]))


def test_processors_have_their_say(llava):
    class Only(LogitsProcessor):
        def __call__(self, input_ids, scores):
            word = llava.processor.tokenizer.convert_tokens_to_ids("table")
            return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([word]), 0.0)

    assert outputs(llava.generate(samples(), Sampling(3, processors=(Only(),)))) == ["table table table"] * 2


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample("a", "  ", (picture((8, 8)),)), "a: the prompt is empty"),
        (Sample("a", None, (picture((8, 8)),)), "a: the prompt is empty"),
        (Sample("a", "describe", ("cup.png",)), r"a: expected PIL images, got str; read files with"),
        (Sample("a", "describe", (Image.new("RGB", (1, 1)),)), "'a' has 1x1 pixels"),
        (Sample("a", "describe", (picture((8, 8)),), "yes"), "a: the sample has its output already"),
    ],
)
def test_samples_that_cannot_be_shown(llava, sample, message):
    with pytest.raises(AdapterError, match=message):
        llava.generate([sample], Sampling(2))


@pytest.mark.parametrize(
    ("sampling", "seeds", "message"),
    [
        (Sampling(0), None, "0 tokens cannot be generated"),
        (Sampling(seconds=2.0), None, "given in tokens"),
        (Sampling(2, temperature=1.0), None, "2 prompts and 0 seeds"),
        (Sampling(2, temperature=1.0, beams=2), [1, 2], "search with beams, or sample"),
        (Sampling(2, top_p=0.0), None, "top_p is above 0"),
        (Sampling(2, guidance=2.0), None, "no guidance"),
    ],
)
def test_requests_that_contradict_themselves(llava, sampling, seeds, message):
    with pytest.raises(AdapterError, match=message):
        llava.generate(samples(), sampling, seeds)


def test_further_refusals(families, llava):
    with pytest.raises(AdapterError, match="no sample was given"):
        llava.reading([])
    with pytest.raises(AdapterError, match="no null branch"):
        llava.reading(samples(), guided=True)
    with pytest.raises(AdapterError, match="begin with the same token"):
        llava.next_word(samples(), ["yes", "yes the"])
    with pytest.raises(AdapterError, match="this model sees no images"):
        families("llama").reading(samples())
    with pytest.raises(AdapterError, match="cannot run without an image"):
        families("instructblip").reading([Sample("a", "describe")])
    with pytest.raises(AdapterError, match="a: 2 images, but this model sees one a prompt"):
        families("instructblip").reading([Sample("a", "describe", (picture((8, 8)), picture((8, 8))))])
    with pytest.raises(AdapterError, match="1: this model takes no batch in which some"):
        families("mllama").reading([samples()[0], Sample("1", "describe")])
    given = {"inputs_embeds": torch.zeros(1, 3, 32)}
    with pytest.raises(AdapterError, match="give it input_ids"):
        llava.layout("text", llava.forward("text", given), given, 3)


def test_a_batch_may_mix_prompts_with_images_and_without(llava):
    mixed = [samples()[0], Sample("1", PROMPTS[1])]
    together = llava.read(llava.reading(mixed))
    for row, one in enumerate(mixed):
        torch.testing.assert_close(together[row, -1], llava.read(llava.reading([one]))[0, -1], atol=1e-5, rtol=1e-4)


def test_a_prompt_without_a_chat_template(llava, monkeypatch):
    monkeypatch.setattr(llava.processor, "chat_template", None)
    ids = llava.reading(samples()[:1]).arguments["input_ids"]
    assert llava.processor.tokenizer.convert_ids_to_tokens(ids[0]) == ["<image>"] * 4 + PROMPTS[0].split()


def test_the_first_token_is_written_once(families, monkeypatch):
    llama = families("llama")
    template = "<s> {% for message in messages %}{{ message.role }} : {{ message.content }} {% endfor %}assistant :"
    monkeypatch.setattr(llama.processor, "chat_template", template)
    ids = llama.reading([Sample("0", PROMPTS[0])]).arguments["input_ids"]
    words = llama.processor.convert_ids_to_tokens(ids[0])
    assert words == ["<s>", "user", ":", *PROMPTS[0].split(), "assistant", ":"]


def test_an_image_may_be_missing(llava):
    blind = [Sample(str(row), text) for row, text in enumerate(PROMPTS)]
    reading = llava.reading(blind)
    assert "pixel_values" not in reading.arguments
    assert len(llava.generate(blind, Sampling(3))) == 2


def test_pictures_in_other_colours(llava):
    colours = [Sample("0", PROMPTS[0], (picture((16, 16)).convert("CMYK"),))]
    assert llava.reading(colours).arguments["pixel_values"].shape == (1, 3, 16, 16)


def test_half_precision(tmp_path):
    adapter = load(save("llava", tmp_path), dtype="bfloat16")
    assert adapter.model.dtype == torch.bfloat16
    with steer(adapter, planted_steering(adapter)):
        assert len(adapter.generate(samples(), Sampling(3))) == 2


def test_spread_over_devices(tmp_path, llava):
    adapter = load(save("llava", tmp_path), device="auto")
    assert isinstance(adapter, LanguageModelAdapter)
    assert adapter.fingerprint == llava.fingerprint
    assert isinstance(adapt(adapter.model, adapter.processor), LanguageModelAdapter)


def test_quantised_loading(tmp_path, monkeypatch):
    folder = save("llava", tmp_path)
    with pytest.raises(AdapterError, match="cannot quantise to '2bit'; choose from 4bit, 8bit"):
        load(folder, quantise="2bit")
    monkeypatch.setattr("transformers.utils.is_bitsandbytes_available", lambda: False)
    with pytest.raises(AdapterError, match="needs bitsandbytes"):
        load(folder, quantise="4bit")


def test_a_model_of_another_family_is_refused(llava):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = BertModel(BertConfig(vocab_size=8, **sizes))
    with pytest.raises(AdapterError, match=r"no adapter for models of type 'bert'; choose from musicgen.*llava"):
        adapt(model, llava.processor)


def test_a_list_of_steerings_has_one_for_each_prompt(llava):
    inputs = llava.reading(samples()).arguments
    one = steering(llava, Site("text", 1))
    with pytest.raises(SteeringError, match="is for 3 samples, generate was given 2"), steer(llava, [one] * 3):
        llava.model.generate(**inputs, max_new_tokens=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dtype": "fp16"}, "no dtype 'fp16'; choose from auto"), ({"device": "cuda:9"}, "no such device")],
)
def test_what_this_machine_or_torch_does_not_know_is_refused_at_once(tmp_path, monkeypatch, options, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AdapterError, match=message):
        load(tmp_path, **options)
