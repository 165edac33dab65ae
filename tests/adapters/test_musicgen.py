"""The facts about MusicGen that everything else relies on."""

import numpy as np
import pytest
import torch

from mmsteer import hooks
from mmsteer.adapters import MusicgenAdapter, adapt, load
from mmsteer.errors import AdapterError
from mmsteer.record import record
from mmsteer.types import Sample, Sampling, Site
from tests.conftest import PAD, outputs

PROMPTS = ["a slow piano melody", "a fast flute melody"]


def heard(adapter, run):
    """The tokens that the decoder met, column by column, and what its last block made of them."""
    columns, states = [], []
    site = adapter.sites[-1]

    def tick(arguments):
        columns.append(arguments["input_ids"].clone())

    with (
        hooks.clock(adapter.stack("decoder"), tick),
        hooks.readings({adapter.module(site): lambda state: states.append(state.clone())}),
    ):
        run()
    return torch.cat(columns[1:], dim=1), torch.cat(states[1:], dim=1)  # the first forward is run twice


def generated_codes(adapter, monkeypatch, seconds=0.3):
    codes = []
    decode = adapter.model.audio_encoder.decode
    monkeypatch.setattr(
        adapter.model.audio_encoder, "decode", lambda ids, **more: codes.append(ids[0].clone()) or decode(ids, **more)
    )
    columns, states = heard(adapter, lambda: adapter.generate(PROMPTS, Sampling(seconds=seconds), [1, 2]))
    monkeypatch.undo()
    return columns, states, codes


def test_audio_is_read_in_the_layout_in_which_it_is_generated(musicgen, monkeypatch):
    columns, states, codes = generated_codes(musicgen, monkeypatch)
    assert columns.shape == (2 * 2 * 4, 15 + 3)
    monkeypatch.setattr(musicgen, "_encode", lambda sample: codes[0][sample.output])
    samples = [Sample(str(row), PROMPTS[row], output=row) for row in range(2)]
    reading = musicgen.reading(samples, guided=True)
    assert torch.equal(reading.arguments["decoder_input_ids"], columns)
    read = []
    with hooks.readings({musicgen.module(Site("decoder", 3)): lambda state: read.append(state)}):
        musicgen.read(reading)
    torch.testing.assert_close(read[0], states, atol=1e-5, rtol=1e-4)


def test_the_null_branch_is_read_as_it_is_generated(musicgen, monkeypatch):
    _, states, codes = generated_codes(musicgen, monkeypatch)
    monkeypatch.setattr(musicgen, "_encode", lambda sample: codes[0][sample.output])
    null = record(musicgen, [Sample("0", output=0), Sample("1", output=1)], [Site("decoder", 3)], pool="tokens")
    torch.testing.assert_close(null.values[Site("decoder", 3)], states[2:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["musicgen", "stereo", "melody"])
def test_seconds_are_exact(name, request):
    adapter = request.getfixturevalue(name)
    for seconds in (0.06, 0.3, 1.0):
        waves = outputs(adapter.generate(PROMPTS, Sampling(seconds=seconds), [1, 2]))
        assert [wave.shape[0] for wave in waves] == [round(seconds * 16000)] * 2
        assert all(wave.ndim == (2 if name == "stereo" else 1) for wave in waves)


def test_codebooks_of_stereo_are_delayed_in_pairs(stereo):
    codes = torch.arange(8)[:, None].expand(8, 2)
    tokens = stereo.streams.delayed([codes], stereo.device)[0]
    assert tokens.shape == (8, 2 + 1 + 3)
    firsts = [int((row != PAD).nonzero()[0]) for row in tokens]
    assert firsts == [1, 1, 2, 2, 3, 3, 4, 4]


def test_block_sites_are_what_the_next_layer_receives(musicgen):
    inputs, outputs = {}, {}
    layers = musicgen.stack("decoder").layers
    handles = [
        layer.register_forward_pre_hook(lambda module, args, place=place: inputs.update({place: args[0].clone()}))
        for place, layer in enumerate(layers)
    ]
    readers = {
        musicgen.module(Site("decoder", place)): lambda state, place=place: outputs.update({place: state.clone()})
        for place in range(4)
    }
    with hooks.readings(readers):
        musicgen.canary()
    for handle in handles:
        handle.remove()
    for place in range(3):
        assert torch.equal(outputs[place], inputs[place + 1])


def test_a_seed_draws_the_same_clip_in_any_batch(musicgen):
    half = Sampling(seconds=0.5)
    alone = musicgen.generate(PROMPTS[:1], half, [7])[0].output
    together = outputs(musicgen.generate([PROMPTS[1], PROMPTS[0], PROMPTS[1]], half, [3, 7, 7]))
    np.testing.assert_allclose(together[1], alone, atol=1e-4)
    other = musicgen.generate(PROMPTS[:1], half, [8])[0].output
    assert not np.allclose(other, alone, atol=1e-3)


def test_sampling_follows_the_softmax():
    """10,000 draws by the Gumbel trick against the probabilities, chi-square at 1 in 10,000."""
    from scipy.stats import chisquare

    from mmsteer.adapters.sampling import SeededSampling

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, -9.0]])
    sampling = SeededSampling([0], 1, temperature=2.0, top_k=4)
    draws = torch.stack([sampling(torch.zeros(1, 1), logits).argmax() for _ in range(10_000)])
    kept = (logits[0, :4].double() / 2).softmax(0).numpy()
    counts = torch.bincount(draws, minlength=5).numpy()
    assert counts[4] == 0
    assert chisquare(counts[:4], 10_000 * kept).pvalue > 1e-4


def test_loading_adapts_any_checkpoint_of_the_class(musicgen_folder, musicgen):
    again = load(musicgen_folder, dtype="bfloat16")
    assert again.fingerprint == musicgen.fingerprint
    assert again.model.dtype == torch.bfloat16
    assert isinstance(adapt(again.model, again.processor), MusicgenAdapter)


def test_half_precision_generates(musicgen_folder):
    adapter = load(musicgen_folder, dtype="bfloat16")
    assert np.isfinite(adapter.generate(PROMPTS, Sampling(seconds=0.3), [1, 2])[0].output).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], Sampling(seconds=1.0), []), "no prompt was given"),
        ((["a melody"], Sampling(seconds=1.0), [1, 2]), "1 prompts and 2 seeds"),
        ((["a melody", "  "], Sampling(seconds=1.0), [1, 2]), "1: the prompt is empty or no text"),
        ((["a melody"], Sampling(seconds=0.0), [1]), "0 s cannot be generated"),
        ((["a melody"], Sampling(seconds=60.0), [1]), r"0.06 to 5.06 s"),
        ((["a melody"], Sampling(50), [1]), "given in seconds"),
        ((["a melody"], Sampling(seconds=1.0, beams=2), [1]), "it does not search"),
    ],
)
def test_requests_that_cannot_be_served(musicgen, arguments, message):
    with pytest.raises(AdapterError, match=message):
        musicgen.generate(*arguments)


def test_audio_that_cannot_be_read(musicgen):
    for wave in (np.zeros(0), np.zeros((2, 100))):
        with pytest.raises(AdapterError, match="clip: expected mono audio"):
            musicgen.reading([Sample("clip", output=wave)])
    with pytest.raises(AdapterError, match="1 of 2 samples have a text"):
        musicgen.reading([Sample("a", "a melody", output=np.ones(640)), Sample("b", output=np.ones(640))])


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(AdapterError, match="cannot load a model"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(AdapterError, match="no adapter for models of type 'bert'; choose from musicgen"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", "'./nowhere': there is no such folder$"),
        ("a/b/c", "'a/b/c': there is no such folder$"),
        ("nobody/nothing", "'nobody/nothing': there is no such folder; as a name on the Hugging Face hub: "),
    ],
)
def test_a_folder_that_is_not_there_is_no_matter_of_the_network(name, said, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AdapterError, match=f"cannot load a model from {said}"):
        load(name)


@pytest.mark.parametrize("version", ["5.17.0", "5.18.0.dev0"])
def test_a_model_that_this_transformers_runs_wrongly_is_refused(melody, monkeypatch, version):
    assert adapt(melody.model, melody.processor)
    monkeypatch.setattr("transformers.__version__", version)
    with pytest.raises(AdapterError, match=rf"cannot run in transformers {version}: its generate .* 5.18 or later"):
        adapt(melody.model, melody.processor)


def test_the_writer_of_a_part_makes_its_output(musicgen):
    for point in ("attention", "mlp"):
        site = Site("decoder", 1, point)
        part, writer = [], []
        with (
            hooks.readings({musicgen.module(site): part.append}),
            hooks.readings({musicgen.writer(site): writer.append}),
        ):
            musicgen.canary()
        assert torch.equal(part[0].flatten(), writer[0].flatten())
    with pytest.raises(AdapterError, match="a whole block is not written by one layer"):
        musicgen.writer(Site("decoder", 1))


def test_a_fine_tuned_model_has_another_fingerprint(musicgen_folder, musicgen):
    model = load(musicgen_folder).model
    with torch.no_grad():
        model.decoder.model.decoder.layers[2].fc1.weight *= 1.1
    assert adapt(model, musicgen.processor).fingerprint != musicgen.fingerprint
