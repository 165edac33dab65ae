"""Rows of one's own data: what is read, and what is refused at once with its line."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmsteer.adapters import load
from mmsteer.errors import DataError
from mmsteer.eval.attributes import Clip
from mmsteer.tasks import Row, check_labels, labelled, read_rows
from mmsteer.types import Chat, Raw
from tests.adapters.checkpoints import save


def write(folder, *rows, name="rows.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return load(save("llama", tmp_path_factory.mktemp("llama")))


def test_the_three_ways_to_say_what_a_model_is_given(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]
    path = write(
        tmp_path,
        {"prompt": "Hello.", "answer": "Hi.", "label": True, "group": 3, "extra": [1]},
        {"messages": turns, "template": {"enable_thinking": False}},
        {"raw": "Once upon a time", "id": "story"},
        {"prompt": "Think.", "template": {"enable_thinking": True}},
    )
    one, two, three, four = read_rows(path)
    assert (one.prompt, one.answer, one.label, one.group, one.id, one.place) == (
        "Hello.",
        "Hi.",
        "yes",
        "3",
        "1",
        "rows.jsonl:1",
    )
    assert two.prompt == Chat(tuple(turns), {"enable_thinking": False})
    assert two.reference.prompt == "Hello."
    assert (three.prompt, three.id) == (Raw("Once upon a time"), "story")
    assert four.prompt == Chat(({"role": "user", "content": "Think."},), {"enable_thinking": True})


def test_splits_are_told_apart(tmp_path):
    path = write(tmp_path, *({"prompt": f"{split} {n}", "split": split} for split in ("train", "test") for n in "12"))
    assert [row.id for row in read_rows(path, split="test")] == ["3", "4"]
    with pytest.raises(DataError, match="no row has the split 'val'; splits here: test, train"):
        read_rows(path, split="val")


def test_all_that_is_wrong_is_said_at_once_with_its_line(tmp_path):
    path = write(
        tmp_path,
        {"answer": "no text"},
        {"prompt": "a", "raw": "b"},
        {"prompt": 3},
        {"prompt": "a", "image": "missing.png"},
        {"prompt": "a", "lable": "x"},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"prompt": "fine", "id": "one"},
        {"prompt": "fine", "id": "one"},
        {"prompt": "fine", "label": [1]},
    )
    with pytest.raises(DataError) as caught:
        read_rows(path)
    lines = str(caught.value).splitlines()
    wanted = {
        1: "the row has no text",
        2: "prompt and raw are given; keep one",
        3: "prompt: Input should be a valid string, not 3",
        4: "missing.png: there is no such file beside the rows",
        5: "there is no key 'lable'; did you mean 'label'?",
        6: "messages.0.role",
        8: "the id 'one' stands at rows.jsonl:7 already",
        9: "label: Input should be a valid string, not [1]",
    }
    for number, text in wanted.items():
        assert any(line.startswith(f"rows.jsonl:{number}: ") and text in line for line in lines), (number, lines)
    assert not any(line.startswith("rows.jsonl:7: ") for line in lines)


def test_long_lists_of_problems_are_cut(tmp_path):
    with pytest.raises(DataError, match="and 30 more") as caught:
        read_rows(write(tmp_path, *[{"prompt": "x", "id": "same"}] * 51))
    assert len(str(caught.value).splitlines()) == 21
    with pytest.raises(DataError, match="and more; reading stopped at line 21") as caught:
        read_rows(write(tmp_path, *({"answer": "x"} for _ in range(50))))
    assert len(str(caught.value).splitlines()) == 21


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [1] * 600_000},
        {"prompt": "a", "objects": ["x"] * 400_000},
        {"prompt": "a", "objects": [f"dog {at}" for at in range(100_000)]},
        {"prompt": "a", "attributes": {f"k{at}": 1 for at in range(200_000)}},
        {"prompt": "a"} | {f"promp{at}": 1 for at in range(200_000)},
    ],
    ids=["messages", "unknown objects", "known objects", "attributes", "keys"],
)
def test_a_row_of_very_many_values_is_one_error_in_no_time(tmp_path, row):
    path = write(tmp_path, row)
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"^rows.jsonl:1: the row has more than 10000 values; give fewer$"):
        read_rows(path)
    assert time.perf_counter() - start < 10
    assert read_rows(write(tmp_path, {"prompt": "a", "embedding": [0.5] * 20_000}))


def test_a_file_without_rows_or_with_broken_json(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        read_rows(write(tmp_path))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "a"}\n{"prompt": \n')
    with pytest.raises(DataError, match=r"broken\.jsonl:2"):
        read_rows(broken)


def test_labels_are_enough_for_a_probe(tmp_path):
    rows = read_rows(write(tmp_path, *({"prompt": "a", "label": label} for label in "xxxxxyyyyyz")))
    with pytest.raises(DataError, match="the label 'z' has 1 of the 5 sources"):
        check_labels(rows)
    with pytest.raises(DataError, match="all rows have the label 'x'"):
        check_labels(rows[:5])
    alike = read_rows(write(tmp_path, *({"prompt": "a", "label": label, "group": label} for label in "xxxxxyyyyy")))
    with pytest.raises(DataError, match="the label 'x' has 1 of the 5 sources"):
        check_labels(alike)
    with pytest.raises(DataError, match=r"rows\.jsonl:1: the row has no label"):
        check_labels(read_rows(write(tmp_path, {"prompt": "a"})))
    assert check_labels(rows[:10]) == ("x", "y")


def test_rows_of_one_prompt_are_one_group(tmp_path, plain):
    pairs = [
        {"prompt": p, "answer": a, "label": a}
        for p in ("a cup", "a table", "is", "there", "shows")
        for a in ("yes", "no")
    ]
    found = labelled(read_rows(write(tmp_path, *pairs)), plain)
    assert found.groups[0] == found.groups[1] != found.groups[2] == found.groups[3]
    assert [one.output for one in found.samples] == ["yes", "no"] * 5
    alike = labelled(
        read_rows(write(tmp_path, *({"prompt": "is", "answer": a, "label": a} for a in ["a"] * 5 + ["the"] * 5))), plain
    )
    assert len(set(alike.groups)) == 10


def test_images_and_audio_belong_to_models_that_take_them(tmp_path, plain, musicgen):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(8000) * 0.1), 8000)
    (row,) = read_rows(write(tmp_path, {"prompt": "describe", "image": "a.png"}))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: this model sees no images"):
        row.sample(plain)
    (heard,) = read_rows(write(tmp_path, {"audio": "a.wav"}))
    with pytest.raises(DataError, match="this model makes text"):
        heard.sample(plain, answered=True)
    # Brought to the model's 16 kHz.
    assert heard.sample(musicgen, answered=True).output.shape == (16000,)
    (written,) = read_rows(write(tmp_path, {"prompt": "a melody", "answer": "text"}))
    with pytest.raises(DataError, match="this model makes audio"):
        written.sample(musicgen, answered=True)


def test_a_folder_for_each_label(tmp_path):
    for label in ("bell", "flute"):
        (tmp_path / label).mkdir()
        for n in range(2):
            soundfile.write(tmp_path / label / f"{n}.wav", np.zeros(800), 8000)
    (tmp_path / "bell" / "0.txt").write_text("a slow bell\n")
    (tmp_path / "bell" / "notes.md").write_text("not data")
    rows = read_rows(tmp_path)
    assert [(row.id, row.label, row.prompt) for row in rows] == [
        ("bell/0.wav", "bell", "a slow bell"),
        ("bell/1.wav", "bell", None),
        ("flute/0.wav", "flute", None),
        ("flute/1.wav", "flute", None),
    ]
    empty = tmp_path / "bell"
    with pytest.raises(DataError, match="no folder in it holds files"):
        read_rows(empty)


def test_music_continues_clips_and_follows_melodies(tmp_path, plain, musicgen):
    for name in ("intro.wav", "tune.wav"):
        soundfile.write(tmp_path / name, np.full((800, 2), 0.25), 8000, "FLOAT")
    path = write(
        tmp_path,
        {"prompt": "a slow piano", "continue": "intro.wav"},
        {"prompt": "a slow piano", "melody": "tune.wav"},
        {"prompt": "a slow piano"},
    )
    rows = read_rows(path)
    assert len({row.source for row in rows}) == 3
    assert [row.files for row in rows] == [(tmp_path / "intro.wav",), (tmp_path / "tune.wav",), ()]
    first, second, third = (row.sample(musicgen) for row in rows)
    assert first.audio_prompt.samples.shape == (800,)
    assert first.audio_prompt.sample_rate == 8000
    assert (first.output, first.melody, second.audio_prompt, third.melody) == (None, None, None, None)
    assert second.melody.samples.max() == 0.25
    with pytest.raises(DataError, match=r"rows.jsonl:1: this model makes text, so it continues no audio"):
        rows[0].sample(plain)


def test_a_clip_that_is_not_there_or_a_key_misspelt(tmp_path):
    path = write(tmp_path, {"prompt": "a", "continue": "no.wav"}, {"prompt": "a", "continues": "no.wav"})
    with pytest.raises(DataError, match=r"no.wav: there is no such file") as error:
        read_rows(path)
    assert "rows.jsonl:2: there is no key 'continues'; did you mean 'continue'?" in str(error.value)


def test_what_a_picture_shows_and_what_a_clip_is(tmp_path):
    one, two, three = read_rows(
        write(
            tmp_path,
            {"prompt": "Describe.", "objects": ["puppy", "bed"]},
            {"prompt": "a slow piano", "attributes": {"instrument": "piano"}},
            {"prompt": "An empty wall.", "objects": []},
        )
    )
    assert one.reference.objects == {"dog", "bed"}
    assert (two.reference.objects, two.reference.attributes) == (None, {"instrument": "piano"})
    assert three.reference.objects == frozenset()
    with pytest.raises(DataError, match=r"rows.jsonl:1: objects: 'dgo' is no object that captions are read for"):
        read_rows(write(tmp_path, {"prompt": "Describe.", "objects": ["dgo"]}))
    with pytest.raises(DataError, match=r"rows.jsonl:1: attributes"):
        read_rows(write(tmp_path, {"prompt": "A clip.", "attributes": ["slow"]}))


def test_pictures_and_clips_in_memory(plain, musicgen_folder):
    tones = load(musicgen_folder)
    wave = np.linspace(-0.5, 0.5, 8000, dtype=np.float32)
    row = Row("clip", "world", "a slow melody", audio=Clip(wave, tones.sample_rate))
    np.testing.assert_array_equal(row.sample(tones, answered=True).output, wave)
    assert len(replace(row, audio=Clip(wave, 8000)).sample(tones, answered=True).output) == 2 * len(wave)
    picture = Image.new("RGB", (8, 8))
    seen = Row("room", "world", "Describe.", images=(picture,))
    assert seen.sample(SimpleNamespace(sees=True, output_kind="text")).images == (picture,)
    with pytest.raises(DataError, match="world: this model sees no images"):
        seen.sample(plain)
