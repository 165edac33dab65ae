"""`mmsteer generate` for models that write, and what it refuses."""

import inspect
import shlex
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from rich.text import Text

from mmsteer.api import parse_steering, ready_made_directions
from mmsteer.cli.generate import generate
from mmsteer.cli.made import marked
from mmsteer.direction_file import save_directions
from mmsteer.eval.text import word_changes
from tests.conftest import planted, saying


@pytest.fixture(scope="module")
def directions(talker, tmp_path_factory):
    file = tmp_path_factory.mktemp("directions") / "words.safetensors"
    save_directions(file, [saying(talker, "cup", "word:cup"), saying(talker, "blue", "word:blue")])
    return file


@pytest.fixture
def talk(mmsteer, talker_folder, directions):
    def run(*words, tokens=4):
        return mmsteer("generate", "--model", talker_folder, "--prompt", "say the cup", "--tokens", tokens, *words)

    return run


def test_an_answer_is_printed_once_and_nothing_else(talk, talker):
    from mmsteer import Sampling

    (made,) = talker.generate(["say the cup"], Sampling(tokens=4))
    assert talk() == (0, f"{made.output}\n", "")


def test_what_steering_changes_is_shown(talk, directions):
    code, out, _ = talk("--directions", directions, "--steer", "word:cup 40 on text.3", "--compare")
    assert code == 0
    before, after, applied, *_ = out.splitlines()
    assert before.startswith("unsteered: ")
    assert "cup cup cup cup" not in before
    assert after == "steered:   cup cup cup cup"
    assert applied.startswith("applied:   word:cup 40 constant(1) on text.3: 1 calls, 1 sites")


def test_steering_lines_are_separated_or_repeated(talk, directions):
    lines = ["word:cup 4 on text.2", "word:blue 3 on text.3"]
    together = talk("--directions", directions, "--steer", "; ".join(lines))
    apart = talk("--directions", directions, "--steer", lines[0], "--steer", lines[1])
    assert together[0] == 0
    assert "word:blue 3" in together[1]
    assert together == apart


def test_the_system_prompt_and_raw_text_reach_the_model(talk, talker):
    from mmsteer import Chat, Raw, Sample, Sampling

    said = Chat(({"role": "system", "content": "blue"}, {"role": "user", "content": "say the cup"}))
    prompts = [Sample("a", said), Sample("b", Raw("say the cup"))]
    system, raw = (one.output for one in talker.generate(prompts, Sampling(tokens=4)))
    assert talk("--system", "blue")[1] == f"{system}\n"
    assert talk("--raw")[1] == f"{raw}\n"
    assert len({talk()[1], f"{system}\n", f"{raw}\n"}) == 3


def test_a_seed_draws_alike_and_another_does_not(talk):
    drawn = [talk("--temperature", 1.5, "--seed", seed, tokens=12)[1] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert talk("--temperature", 1.5, "--top-k", 1, tokens=12) == talk(tokens=12)
    assert talk("--temperature", 1.5, "--top-p", 1e-6, tokens=12) == talk(tokens=12)


def test_the_answer_is_written(talk, tmp_path):
    out = tmp_path / "answer.txt"
    printed = talk("--out", out)[1]
    assert out.read_text() == printed
    code, _, err = talk("--out", out)
    assert (code, "--force" in err) == (2, True)


def test_a_file_that_cannot_be_written_keeps_its_content(talk, tmp_path, monkeypatch):
    out = tmp_path / "answer.txt"
    out.write_text("before")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("mmsteer.atomic.os.fsync", full)
    code, _, err = talk("--out", out, "--force")
    assert code == 2
    assert "No space left on device" in err
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", 2], "--seconds is for music, and"),
        (["--guidance", 2], "--guidance is for music, and"),
        (["--image", "{image}"], "--image is for models that see"),
        (["--seed", 1], "--seed does nothing at temperature 0"),
        (["--top-p", 0.5], "--top-p does nothing at temperature 0"),
        (["--compare"], "--compare is about what is steered; give --steer, too"),
        (["--directions", "{directions}"], "--directions is about what is steered; give --steer, too"),
        (["--compatibility", "exact"], "--compatibility is about what is steered; give --steer, too"),
        (["--compatibility", "exact", "--steer", "word:cup 4"], "give --directions, too"),
        (["--raw", "--system", "x"], "--raw text has no turns"),
        (["--steer", " ; ", "--directions", "{directions}"], "--steer is empty"),
    ],
)
def test_what_does_not_apply_is_an_error(talk, directions, tmp_path, words, message):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    put = {"{image}": tmp_path / "a.png", "{directions}": directions}
    code, _, err = talk(*(put.get(word, word) for word in words))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--system", "x"], ["--raw"], ["--tokens", 3], ["--steer", "note:C 1", "--compare"]])
def test_music_takes_no_options_of_text(mmsteer, musicgen, musicgen_folder, tmp_path, words):
    save_directions(tmp_path / "d.safetensors", [planted(musicgen, "note:C", [1])])
    fixed = ["--model", musicgen_folder, "--prompt", "piano", "--out", tmp_path / "x.wav"]
    if "--steer" in words:
        fixed += ["--directions", tmp_path / "d.safetensors"]
    code, _, err = mmsteer("generate", *fixed, *words)
    assert code == 2
    assert "is for text, and" in err


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("note:C", "heard:   main note"),
        ("tempo:fast", "heard:   tempo "),
        ("mode:major", "heard:   mode "),
        ("x:y", ""),
    ],
)
def test_what_is_steered_is_looked_for_in_the_clip(mmsteer, musicgen, musicgen_folder, tmp_path, name, heard):
    save_directions(tmp_path / "d.safetensors", [planted(musicgen, name, [1])])
    words = ["--directions", tmp_path / "d.safetensors", "--steer", f"{name} 0.1", "--out", tmp_path / "x.wav"]
    code, out, _ = mmsteer("generate", "--model", musicgen_folder, "--prompt", "piano", "--seconds", 0.3, *words)
    assert code == 0
    assert heard in out
    assert out.count("heard:") == bool(heard)
    assert "warning" not in out


def test_a_clip_without_steering_says_nothing_of_steering(mmsteer, musicgen_folder, tmp_path):
    words = ["--seconds", 0.3, "--out", tmp_path / "x.wav"]
    code, out, _ = mmsteer("generate", "--model", musicgen_folder, "--prompt", "piano", *words)
    assert (code, out) == (0, f"{tmp_path / 'x.wav'}: 0.30 s\n")


def test_a_seed_of_music_that_is_not_drawn_is_an_error(mmsteer, musicgen_folder, tmp_path):
    words = ["--seconds", 0.3, "--out", tmp_path / "x.wav", "--temperature", 0, "--seed", 3]
    code, _, err = mmsteer("generate", "--model", musicgen_folder, "--prompt", "piano", *words)
    assert code == 2
    assert "--seed does nothing at temperature 0" in err


def test_ready_made_directions_without_an_effect_are_said_to_have_none(mmsteer, tmp_path):
    words = ["--seconds", 0.5, "--out", tmp_path / "x.wav", "--prompt", "piano"]
    out = mmsteer("generate", "--steer", "tempo:fast 0.1; note:C 0.1", *words)[1]
    assert "warning: no effect of tempo directions was measured" in out
    assert "effect of note" not in out


def test_marks_lie_on_the_changed_words_and_white_space_stays():
    before, after = "a red\n\ncup here", "a  blue\ncup"
    changes = word_changes(before, after)
    removed, added = marked(before, changes, "removed"), marked(after, changes, "added")
    assert (removed.plain, added.plain) == (before, after)
    assert [before[span.start : span.end] for span in removed.spans] == ["red", "here"]
    assert [after[span.start : span.end] for span in added.spans] == ["blue"]
    assert marked(before, (), "removed") == Text(before)


def test_a_text_without_attributes_is_no_steering():
    assert not parse_steering(" ; ", {}).attributes


def test_music_goes_on_from_a_clip(mmsteer, musicgen_folder, tmp_path):
    soundfile.write(tmp_path / "intro.wav", np.zeros(3200), 16000)
    words = ["generate", "--model", musicgen_folder, "--prompt", "piano", "--continue", tmp_path / "intro.wav"]
    code, out, _ = mmsteer(*words, "--out", tmp_path / "x.wav")
    assert code == 0
    assert "x.wav: 4.20 s" in out  # 4 s beyond the clip
    code, _, err = mmsteer(*words, "--seconds", 0.2, "--out", tmp_path / "y.wav")
    assert code == 2
    assert "the audio prompt lasts 0.2 s and the output 0.2 s" in err


def test_a_melody_needs_a_melody_variant(mmsteer, musicgen_folder, tmp_path):
    soundfile.write(tmp_path / "tune.wav", np.zeros(3200), 16000)
    words = ["--prompt", "piano", "--melody", tmp_path / "tune.wav", "--out", tmp_path / "x.wav"]
    code, _, err = mmsteer("generate", "--model", musicgen_folder, *words)
    assert code == 2
    assert "this checkpoint follows no melody" in err
    code, _, err = mmsteer("generate", "--model", musicgen_folder, "--prompt", "a", "--melody", "no.wav", *words[4:])
    assert code == 2
    assert "no.wav: no such audio file" in err


@pytest.mark.parametrize("option", ["--continue", "--melody"])
def test_text_takes_no_clips(talk, option):
    code, _, err = talk(option, "a.wav")
    assert code == 2
    assert f"{option} is for music, and" in err


def test_a_tune_is_followed_for_as_long_as_it_lasts(mmsteer, musicgen, musicgen_folder, tmp_path):
    import mido

    file = tmp_path / "notes.safetensors"
    save_directions(file, [planted(musicgen, f"note:{name}", [1], seed=at) for at, name in enumerate("CE")])
    track = mido.MidiTrack([mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=192)])
    mido.MidiFile(tracks=[track]).save(tmp_path / "tune.mid")
    words = ["generate", "--model", musicgen_folder, "--prompt", "piano", "--directions", file]
    for follow, told in ((tmp_path / "tune.mid", "C 0.2s"), ("C4 0.1s, E4 0.1s", "C4 0.1s, E4 0.1s")):
        out = tmp_path / f"{told[:2].strip()}{len(told)}.wav"
        code, said, _ = mmsteer(*words, "--follow", follow, "--out", out)
        assert code == 0
        assert f"{out}: 0.20 s" in said
        assert f"{told}\nfollowed for " in said
    code, _, error = mmsteer(*words, "--follow", "H 1s", "--out", tmp_path / "h.wav")
    assert (code, "no note 'H'" in error) == (2, True)
    code, _, error = mmsteer("generate", "--model", "bundled:text", "--prompt", "a", "--follow", "C 1s")
    assert (code, "no ready-made directions" in error) == (2, True)


def test_examples_of_the_help_steer_by_directions_that_there_are():
    text = inspect.cleandoc(generate.__doc__).partition("[bold]Examples[/]")[2]
    examples = [shlex.split(one)[2:] for one in text.split("\n\n") if one.strip()]
    assert len(examples) == 7
    for words in examples:
        given = dict(pairwise(words))
        line = given.get("--steer", "")
        if line and "--directions" not in words and not line.startswith("auto:"):
            model = "bundled:vision" if "--image" in words else "bundled:music"
            parse_steering(line, ready_made_directions(model))


def test_a_file_that_is_read_is_never_written(talk, mmsteer, talker_folder, directions, tmp_path):
    before, link = directions.read_bytes(), tmp_path / "link.safetensors"
    link.symlink_to(directions)
    model = ("--model", talker_folder, "--prompt", "say the cup")
    for out in (directions, link):
        written = ("--directions", directions, "--steer", "word:cup 4 on text.2", "--out", out, "--force")
        for code, _, err in (talk(*written), mmsteer("attribute", *model, "--units", "vectors", *written)):
            assert (code, f"{out} is a file that is read; give another name, or it would be lost" in err) == (2, True)
        code, _, err = mmsteer("convert", directions, out, "--force")
        assert (code, "is a file that is read" in err) == (2, True)
    assert directions.read_bytes() == before
