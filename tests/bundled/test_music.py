"""The model that ships, loaded as any checkpoint is."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, MusicgenForConditionalGeneration

import mmsteer
from mmsteer.bundled import bundled_path
from mmsteer.errors import AdapterError
from mmsteer.eval.notes import read_notes
from mmsteer.types import Sampling
from mmsteer.worlds.music.concepts import concept_clips
from mmsteer.worlds.music.world import render_clip
from tests.conftest import outputs


@pytest.fixture(scope="module")
def adapter():
    return mmsteer.load("bundled:music")


def test_it_is_small_and_of_the_real_class():
    folder = bundled_path("music")
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) <= 24e6
    model = MusicgenForConditionalGeneration.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert AutoProcessor.from_pretrained(folder).feature_extractor.sampling_rate == 16000
    assert (folder / "README.md").read_text().count("cross-entropy by codebook")


def test_its_token_ids_are_those_that_transformers_looks_for(adapter):
    for config in (adapter.model.config, adapter.model.config.decoder, adapter.model.config.text_encoder):
        ids = {name: value for name, value in config.to_dict().items() if name.endswith("_token_id")}
        words = config.get_text_config(decoder=True).vocab_size
        assert {name: value for name, value in ids.items() if value is not None and not 0 <= value < words} == {}
    assert adapter.model.generation_config.decoder_start_token_id == adapter.model.config.decoder.vocab_size


def test_the_codec_keeps_every_pitch_class(adapter):
    found = []
    for index, item in enumerate(concept_clips("note", 2, 99)):
        wave = torch.from_numpy(render_clip(item.clip, np.random.default_rng(index)))[None, None]
        with torch.no_grad():
            codes = adapter.model.audio_encoder.encode(wave).audio_codes
            back = adapter.model.audio_encoder.decode(codes, [None]).audio_values[0, 0].numpy()
        found.append(read_notes(back, 16000).main_note == item.label)
    assert sum(found) >= 23


def test_it_plays_tones_and_not_noise(adapter):
    made = adapter.generate(["a fast flute melody", "a slow organ melody"], Sampling(seconds=4.0), [0, 1])
    waves = outputs(made)
    assert [wave.shape for wave in waves] == [(64000,)] * 2
    assert min(read_notes(wave, 16000).voiced for wave in waves) > 0.3


def test_no_other_model_is_bundled():
    with pytest.raises(AdapterError, match="no bundled model 'speech'; choose from music"):
        bundled_path("speech")
