"""The second model of music that ships: it loads as any checkpoint does, and plays what it is asked for."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, MusicgenForConditionalGeneration

import mmsteer
from mmsteer.bundled import bundled_path
from mmsteer.eval.attributes import Clip
from mmsteer.eval.chords import read_chord
from mmsteer.eval.tempo import accuracy
from mmsteer.types import Sampling
from mmsteer.worlds.band.world import SAMPLE_RATE, render_song, sample_song
from tests.conftest import outputs


@pytest.fixture(scope="module")
def adapter():
    return mmsteer.load("bundled:band")


def test_it_is_small_and_of_the_real_class():
    folder = bundled_path("band")
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) <= 48e6
    assert MusicgenForConditionalGeneration.from_pretrained(folder).dtype == torch.float32
    assert AutoProcessor.from_pretrained(folder).feature_extractor.sampling_rate == SAMPLE_RATE
    assert "cross-entropy by codebook" in (folder / "README.md").read_text()


def test_its_frames_are_tenths_of_a_second(adapter):
    assert adapter.model.audio_encoder.config.frame_rate == 10
    [made] = outputs(adapter.generate(["slow organ"], Sampling(seconds=2.0), [0]))
    assert made.shape == (32000,)


def test_the_codec_keeps_chord_and_tempo(adapter):
    chords, tempi = [], []
    for seed in range(8):
        song = sample_song(np.random.default_rng([90, seed]), texture="chord")
        wave = torch.from_numpy(render_song(song))[None, None]
        with torch.no_grad():
            codes = adapter.model.audio_encoder.encode(wave).audio_codes
            back = adapter.model.audio_encoder.decode(codes, [None]).audio_values[0, 0].numpy()
        chords.append(read_chord(back, SAMPLE_RATE).quality == song.changes[0].split(":")[1])
        tempi.append(accuracy(Clip(back, SAMPLE_RATE).read(["tempo"])["tempo"]["bpm"], song.tempo_bpm))
    assert sum(chords) >= 7
    assert sum(filter(None, tempi)) >= 7


def test_it_plays_the_chord_and_the_tempo_that_the_prompt_names(adapter):
    prompts = [
        f"120 bpm {chord} {name} one chord in four" for chord in ("major", "minor") for name in ("organ", "piano")
    ]
    read = [
        Clip(wave, SAMPLE_RATE).read(["chords", "tempo"])
        for wave in outputs(adapter.generate(prompts, Sampling(seconds=8.0, guidance=3.0), [0, 1, 2, 3]))
    ]
    asked = ["major", "major", "minor", "minor"]
    assert sum(one["chords"]["quality"] == chord for one, chord in zip(read, asked, strict=True)) >= 3
    assert sum(bool(accuracy(one["tempo"]["bpm"], 120)) for one in read) >= 3
