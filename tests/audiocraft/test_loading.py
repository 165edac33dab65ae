"""Checkpoints in audiocraft's layout: loaded as tensors and plain values, or refused."""

import pickle

import pytest
import torch

from mmsteer.adapters import AudiocraftMusicgen, adapt, load
from mmsteer.api import load as load_by_name
from mmsteer.errors import AdapterError
from mmsteer.fold import save_folded
from mmsteer.types import Sampling
from tests.audiocraft.conftest import lm_weights, with_small_t5
from tests.conftest import PAD

CONFIG = """
lm_model: transformer_lm
dataset: {segment_duration: 30}
interleave_stereo_codebooks: {use: false}
compression_model_n_q: null
transformer_lm: {n_q: 4, card: PAD, dim: 32, num_heads: 2, hidden_scale: 2, num_layers: 4, norm_first: true,
  causal: true, custom: true, activation: gelu, bias_proj: false, bias_ff: false, bias_attn: false, dropout: 0.0}
codebooks_pattern: {modeling: delay, delay: {delays: [0, 1, 2, 3], flatten_first: 0, empty_initial: 0}}
attribute_dropout: {}
classifier_free_guidance: {training_dropout: 0.3, inference_coef: 3.0}
fuser: {cross_attention_pos_emb: false, sum: [], cross: [description], prepend: [], input_interpolate: []}
conditioners:
  args: {merge_text_conditions_p: 0.25, drop_desc_p: 0.5}
  description: {model: t5, t5: {name: t5-small, finetune: false}}
""".replace("PAD", str(PAD))


@pytest.fixture
def folder(transformed, tmp_path, monkeypatch):
    """A checkpoint as audiocraft exports it."""
    with_small_t5(monkeypatch, transformed.model.text_encoder)
    codec = tmp_path / "codec"
    transformed.model.audio_encoder.save_pretrained(codec)
    torch.save({"best_state": lm_weights(transformed.model), "xp.cfg": CONFIG}, tmp_path / "state_dict.bin")
    torch.save({"pretrained": str(codec), "exported": True}, tmp_path / "compression_state_dict.bin")
    return tmp_path


def test_a_folder_of_audiocraft_is_loaded(folder, transformed):
    adapter = load_by_name(f"audiocraft:{folder}")
    assert isinstance(adapter, AudiocraftMusicgen)
    assert adapter.fingerprint == transformed.fingerprint
    assert adapter.max_steps == 30 * 50
    (made,) = adapter.generate(["a slow piano"], Sampling(seconds=0.3, temperature=0))
    assert made.output.shape == (15 * 320,)


def test_a_model_that_is_loaded_is_adapted(crafted):
    assert adapt(crafted.musicgen).fingerprint == crafted.fingerprint


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("file", ["state_dict.bin", "compression_state_dict.bin"])
def test_a_pickle_is_refused_before_it_runs(folder, tmp_path, file, monkeypatch):
    # What people set to have old checkpoints load: this loader does not listen to it.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "")
    mark = tmp_path / "ran"
    torch.save({"xp.cfg": Hostile(mark), "best_state": {}}, folder / file)
    with pytest.raises(AdapterError, match="may run code when it is read; load it with audiocraft"):
        load(f"audiocraft:{folder}")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark))).close()
    assert mark.exists()  # the trap works


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("dim: 32", "dim: ${oc.env:HOME}", r"calls a resolver, \$\{oc.env:"),
        ("model: t5, t5:", "model: chroma_stem, chroma_stem:", "'description' is read by 'chroma_stem'"),
        ("name: t5-small", "name: somebody/t5", "cannot build the model.*Unrecognized t5 model name"),
        ("modeling: delay", "modeling: parallel", "ParallelPatternProvider"),
        ("dim: 32", "dim: 64", "cannot build the model"),
    ],
)
def test_a_configuration_that_asks_for_more_is_refused(folder, transformed, before, after, message):
    assert before in CONFIG
    text = CONFIG.replace(before, after)
    torch.save({"best_state": lm_weights(transformed.model), "xp.cfg": text}, folder / "state_dict.bin")
    with pytest.raises(AdapterError, match=message):
        load(f"audiocraft:{folder}")


def test_a_codec_that_is_unpickled_is_refused(folder):
    torch.save({"pretrained": "dac_44khz"}, folder / "compression_state_dict.bin")
    with pytest.raises(AdapterError, match="'dac_44khz' is unpickled"):
        load(f"audiocraft:{folder}")


def test_files_that_are_no_checkpoints(folder, tmp_path):
    torch.save({"weights": torch.ones(1)}, folder / "state_dict.bin")
    with pytest.raises(AdapterError, match=r"neither 'xp.cfg' nor 'pretrained'"):
        load(f"audiocraft:{folder}")
    (folder / "state_dict.bin").write_bytes(b"no archive")
    with pytest.raises(AdapterError, match=r"state_dict.bin: "):
        load(f"audiocraft:{folder}")
    (folder / "state_dict.bin").unlink()
    with pytest.raises(AdapterError, match=r"there is no state_dict.bin"):
        load(f"audiocraft:{folder}")
    with pytest.raises(AdapterError, match="holds no weights in 4bit"):
        load(f"audiocraft:{folder}", quantise="4bit")
    with pytest.raises(AdapterError, match=r"cannot load state_dict.bin of 'nobody/nothing'"):
        load("audiocraft:nobody/nothing")


def test_other_models_of_audiocraft_are_refused(crafted):
    from audiocraft.models.audiogen import AudioGen

    other = AudioGen("other", crafted.musicgen.compression_model, crafted.model, max_duration=30)
    with pytest.raises(AdapterError, match="no adapter for audiocraft's AudioGen"):
        adapt(other)


def test_what_would_not_be_followed_is_refused(crafted, monkeypatch):
    monkeypatch.setattr(crafted.model.transformer.layers[0].self_attn, "past_context", 10)
    with pytest.raises(AdapterError, match="forgets old tokens"):
        adapt(crafted.musicgen)
    monkeypatch.undo()
    monkeypatch.setattr(crafted.model.pattern_provider, "delays", [0, 2, 4, 6])
    with pytest.raises(AdapterError, match=r"with delays \[0, 2, 4, 6\]"):
        adapt(crafted.musicgen)


def test_a_folded_model_of_audiocraft_is_not_saved(crafted, tmp_path):
    with pytest.raises(AdapterError, match="only a model of transformers is saved"):
        save_folded(crafted, tmp_path / "new", [], "audiocraft:small")
