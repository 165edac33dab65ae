"""Small models of audiocraft's classes that hold the weights of small models of transformers.

The weights are renamed here by hand, from what transformers' conversion of the published checkpoints does, and not by
`mmsteer.adapters.audiocraft.identity`, which these tests judge.
"""

import copy
import warnings
from importlib.util import find_spec

import pytest
import torch
from transformers import (
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyForConditionalGeneration,
    MusicgenMelodyProcessor,
)

from mmsteer.adapters import adapt, load
from tests.conftest import PAD, _codec, _decoder, _save, _text, word_tokenizer

IS_THERE = find_spec("audiocraft") is not None
if IS_THERE:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import audiocraft.models.musicgen  # noqa: F401

WINDOW = 1.0
"""Seconds that the small models make at once."""

LAYER = {
    "norm1": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm2": "final_layer_norm",
    "linear1": "fc1",
    "linear2": "fc2",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/audiocraft" in item.nodeid:
            # Its dependencies are of 2023 and warn of what they will not follow.
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(
                pytest.mark.skipif(not IS_THERE, reason="audiocraft is not installed: make test-audiocraft")
            )


def sharp(model):
    """Random weights so large that what is generated depends on what was before."""
    with torch.no_grad():
        for name, weight in model.decoder.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=1.0 if "embed" in name or "lm_heads" in name else 0.25)
    return model


def lm_weights(model):
    """The language model's weights by audiocraft's names."""
    own, state = model.decoder.model.decoder, {}
    for layer, block in enumerate(own.layers):
        for name, attention in (("self_attn", "self_attn"), ("cross_attention", "encoder_attn")):
            if hasattr(block, attention):
                part = getattr(block, attention)
                stem = f"transformer.layers.{layer}.{name}"
                state[f"{stem}.in_proj_weight"] = torch.cat(
                    [part.q_proj.weight, part.k_proj.weight, part.v_proj.weight]
                )
                state[f"{stem}.out_proj.weight"] = part.out_proj.weight
        for name, theirs in LAYER.items():
            if hasattr(block, theirs):
                for key, weight in getattr(block, theirs).named_parameters():
                    state[f"transformer.layers.{layer}.{name}.{key}"] = weight
    for book in range(4):
        state[f"emb.{book}.weight"] = own.embed_tokens[book].weight
        state[f"linears.{book}.weight"] = model.decoder.lm_heads[book].weight
    for key in ("weight", "bias"):
        state[f"out_norm.{key}"] = getattr(own.layer_norm, key)
        described = getattr(model.enc_to_dec_proj, key)
        state[f"condition_provider.conditioners.description.output_proj.{key}"] = described
        if hasattr(model, "audio_enc_to_dec_proj"):
            sung = getattr(model.audio_enc_to_dec_proj, key)
            state[f"condition_provider.conditioners.self_wav.output_proj.{key}"] = sung
    return {name: weight.detach().clone() for name, weight in state.items()}


def with_small_t5(patch, encoder):
    """Have audiocraft find a small T5 where it would ask the hub."""
    from audiocraft.modules import conditioners

    tokenizer = word_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    patch.setattr(conditioners.T5Tokenizer, "from_pretrained", lambda name: tokenizer)
    patch.setattr(conditioners.T5EncoderModel, "from_pretrained", lambda name: copy.deepcopy(encoder))
    patch.setitem(conditioners.T5Conditioner.MODELS_DIMS, "t5-small", 16)


def with_no_demucs(patch):
    """Have audiocraft take a whole clip for its melody: the separation of instruments is another model's."""
    import demucs.apply
    import demucs.pretrained

    class Separator(torch.nn.Module):
        sources, samplerate, audio_channels = ("drums", "bass", "other", "vocals"), 16000, 1

    patch.setattr(demucs.pretrained, "get_model", lambda name: Separator())
    patch.setattr(
        demucs.apply, "apply_model", lambda model, wav, device: torch.stack([0 * wav, 0 * wav, wav, 0 * wav], 1)
    )


def audiocraft_model(model, conditioners, prepend, **options):
    from audiocraft.models.encodec import HFEncodecCompressionModel
    from audiocraft.models.lm import LMModel
    from audiocraft.models.musicgen import MusicGen
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider
    from audiocraft.modules.conditioners import ConditionFuser, ConditioningProvider

    where = {"cross": [] if prepend else ["description"], "prepend": prepend, "sum": [], "input_interpolate": []}
    lm = LMModel(
        DelayedPatternProvider(n_q=4),
        ConditioningProvider(conditioners),
        ConditionFuser(where),
        n_q=4,
        card=PAD,
        dim=32,
        num_heads=2,
        hidden_scale=2,
        num_layers=4,
        norm_first=True,
        causal=True,
        custom=True,
        activation="gelu",
        bias_proj=False,
        bias_ff=False,
        bias_attn=False,
        cross_attention=not prepend,
        dropout=0.0,
        **options,
    )
    missing, unexpected = lm.load_state_dict(lm_weights(model), strict=False)
    assert not unexpected
    assert all(".chroma." in name for name in missing)  # a window and filters, which nobody trained
    musicgen = MusicGen("small", HFEncodecCompressionModel(copy.deepcopy(model.audio_encoder)), lm, max_duration=30)
    musicgen.max_duration = WINDOW
    musicgen.set_generation_params(duration=0.5, use_sampling=False, extend_stride=0.6)
    return musicgen


@pytest.fixture(scope="session")
def transformed(tmp_path_factory):
    torch.manual_seed(0)
    config = MusicgenConfig(text_encoder=_text(), audio_encoder=_codec(), decoder=_decoder(num_codebooks=4))
    model = sharp(MusicgenForConditionalGeneration(config))
    return load(_save(model, tmp_path_factory.mktemp("musicgen")))


@pytest.fixture(scope="session")
def crafted(transformed):
    """audiocraft's model of the same weights."""
    from audiocraft.modules.conditioners import T5Conditioner

    with pytest.MonkeyPatch.context() as patch:
        with_small_t5(patch, transformed.model.text_encoder)
        description = T5Conditioner("t5-small", 32, finetune=False, device="cpu")
    return adapt(audiocraft_model(transformed.model, {"description": description}, []))


@pytest.fixture(scope="session")
def sung():
    """The melody variant in transformers."""
    from transformers import MusicgenMelodyFeatureExtractor

    torch.manual_seed(1)
    decoder = _decoder(MusicgenMelodyDecoderConfig, num_codebooks=4)
    config = MusicgenMelodyConfig(
        text_encoder=_text(), audio_encoder=_codec(), decoder=decoder, chroma_length=8, num_chroma=12
    )
    model = sharp(MusicgenMelodyForConditionalGeneration(config)).eval()
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()
    options = model.generation_config
    options.decoder_start_token_id = options.pad_token_id = options.bos_token_id = PAD
    extract = MusicgenMelodyFeatureExtractor(sampling_rate=16000, hop_length=2048, n_fft=8192, chunk_length=1)
    return adapt(model, MusicgenMelodyProcessor(extract, word_tokenizer()))


@pytest.fixture
def sung_crafted(sung, monkeypatch):
    """The melody variant in audiocraft."""
    from audiocraft.modules.conditioners import ChromaStemConditioner, T5Conditioner

    with_small_t5(monkeypatch, sung.model.text_encoder)
    with_no_demucs(monkeypatch)
    conditioners = {
        "description": T5Conditioner("t5-small", 32, finetune=False, device="cpu"),
        "self_wav": ChromaStemConditioner(
            32, sample_rate=16000, n_chroma=12, radix2_exp=13, duration=WINDOW, argmax=True, winhop=2048
        ),
    }
    return adapt(audiocraft_model(sung.model, conditioners, ["self_wav", "description"]))
