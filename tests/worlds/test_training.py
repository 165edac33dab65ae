"""The training script: it learns, and a run that was killed goes on."""

import re
import subprocess
import sys

import numpy as np
import torch

from mmsteer.worlds.music.world import sample_clip
from mmsteer.worlds.training.codec import build_codec
from mmsteer.worlds.training.language import Budget, Clips, _draw, delayed, evaluate, restore, train
from mmsteer.worlds.training.model import build_model, tokenise, train_tokenizer
from mmsteer.worlds.training.sources import countdown


def small():
    torch.manual_seed(0)
    codec = build_codec(torch.ones(160), torch.randn(4, 1024, 160))
    tokenizer = train_tokenizer(["slow piano", "fast flute"])
    return build_model(codec, len(tokenizer), 200, layers=1, width=64), tokenizer


def data(model, tokenizer):
    # Two prompts, two pieces: each repeats one code for ever.
    codes = torch.tensor([10, 20]).repeat(8)[:, None, None].expand(16, 4, 200)
    beats = torch.arange(200).flip(0).remainder(50).expand(16, 200)
    return Clips(delayed(model, codes), tokenise(tokenizer, ["slow piano", "fast flute"] * 8), beats)


def test_the_countdown_ends_at_each_onset():
    clip = sample_clip(np.random.default_rng(0), tempo="slow")
    onsets = sorted({round(50 * note.onset_s) for note in clip.notes})
    left = countdown(onsets, 200)
    assert [at for at in range(200) if left[at] == 0] == onsets
    assert left[onsets[1] - 1] == 1
    assert left[onsets[0] + 1] == onsets[1] - onsets[0] - 1
    assert set(left[onsets[-1] + 1 :]) == {-1}


def test_it_learns_and_resumes(tmp_path):
    model, tokenizer = small()
    clips = data(model, tokenizer)
    before = sum(evaluate(model, clips, 8))
    checkpoint = tmp_path / "checkpoint.safetensors"
    quick = {"batch": 8, "peak_rate": 1e-2, "warmup": 2}
    first = train(model, clips, Budget(4.0, **quick), checkpoint, lambda line: None)
    after = sum(evaluate(model, clips, 8))
    assert after < 0.7 * before
    again, _ = small()
    # Its time is spent: a resumed run does no further step and has the weights of the checkpoint.
    resumed = train(again, clips, Budget(99.0, **quick), checkpoint, lambda line: None)
    assert resumed.step == first.step
    assert evaluate(again, clips, 8) == evaluate(model, clips, 8)


def test_the_script_writes_a_model_and_a_card(tmp_path):
    command = [sys.executable, "-m", "mmsteer.worlds.training.train_music", "--out", str(tmp_path / "music")]
    options = {"work": tmp_path / "work", "clips": 24, "codec-clips": 24, "iterations": 2, "batch": 4, "layers": 1}
    options |= {"width": 64, "minutes": 0.4, "device": "cpu", "workers": 1}
    arguments = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    assert "held-out loss" in done.stdout
    card = (tmp_path / "music" / "README.md").read_text()
    assert re.search(r"\d+ steps|steps", card)
    import mmsteer

    (made,) = mmsteer.load(tmp_path / "music").generate(["slow piano"], mmsteer.Sampling(seconds=0.2), [0])
    assert len(made.output) == 3200


def test_codes_that_are_heard_wrong_are_those_of_another_row():
    model, tokenizer = small()
    clips = data(model, tokenizer)
    pad = model.config.decoder.vocab_size
    plain = _draw(clips, 3, Budget(1.0, batch=16, unheard_share=0.0), pad)
    assert torch.equal(plain.heard, plain.tokens)
    wrong = _draw(clips, 3, Budget(1.0, batch=16, unheard_share=0.0, wrong_share=1.0), pad)
    changed = wrong.heard != wrong.tokens
    assert torch.equal(wrong.tokens, plain.tokens)
    assert 0.02 < changed.float().mean() < 0.25
    assert not changed[wrong.tokens == pad].any()
    assert set(wrong.heard[changed].tolist()) <= {10, 20}


def test_another_leg_adds_to_the_time_that_was_spent(tmp_path):
    model, tokenizer = small()
    clips, checkpoint = data(model, tokenizer), tmp_path / "checkpoint.safetensors"
    quick = {"batch": 2, "warmup": 2}
    first = train(model, clips, Budget(1.0, **quick), checkpoint, lambda line: None)
    more = train(model, clips, Budget(1.0, extends=True, **quick), checkpoint, lambda line: None)
    assert more.step > first.step
    assert more.budget_seconds == first.seconds + 1.0
    again, _ = small()
    assert restore(again, checkpoint).step == more.step
    assert evaluate(again, clips, 8) == evaluate(model, clips, 8)
