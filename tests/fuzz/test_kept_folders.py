"""Folders of searches, AxBench and training that are damaged, foreign or in use: the same result, or one error."""

import fcntl
import json
import shutil

import pytest
import torch

import mmsteer
from mmsteer.axbench import Rating, Settings, read_concepts, run
from mmsteer.axbench.bench import Bench
from mmsteer.errors import MmsteerError
from mmsteer.eval.text import parse_reward
from mmsteer.sae import Held, Shuffled, TopK, Training, train_dictionary
from mmsteer.search import Grid, search
from mmsteer.tasks import Row
from mmsteer.tuning import AdditiveVectors, Likelihood, Schedule, measure_sites, train
from mmsteer.types import Positions, Sample
from tests.axbench import conftest as concepts
from tests.conftest import saying
from tests.fuzz.mutations import cases, strange_file
from tests.tuning.ranked import answered

LOGS = {"search": "cells.jsonl", "axbench": "results.jsonl"}
OWNERS = {"search": "search.json", "axbench": "axbench.json", "train": "train.json"}
STATE = "checkpoint.safetensors"
KINDS = (*OWNERS, "dictionary")


class Words:
    """Rates by the word itself."""

    name = "words"

    def rate(self, concept, asked):
        return [Rating(2.0 * (concept.text in str(one.output)), 1.0, 2.0) for one in asked]


def without_times(records):
    return [
        {**one, "methods": {name: {**told, "seconds": None} for name, told in one["methods"].items()}}
        for one in records
    ]


@pytest.fixture(scope="module")
def works(talker, tmp_path_factory):
    """For each kind of work a function that begins, resumes or repeats it in a folder; its result."""
    texts = [" ".join(concepts.WORDS[at : at + 3]) for at in range(6)]
    cup, rows = saying(talker, "cup", "word:cup"), [Row(str(at), f"r:{at}", text) for at, text in enumerate(texts)]
    where = measure_sites(talker, answered("cup cup"), "text.2", Positions("all"))
    for part, some in concepts.rows().items():
        concepts.written(tmp_path_factory.getbasetemp() / "concepts" / f"{part}.jsonl", some)
    known = read_concepts(tmp_path_factory.getbasetemp() / "concepts")
    states = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))

    def searched(folder):
        grid, sampling = Grid(("text.3",), (0.5, 10.0)), mmsteer.Sampling(tokens=3)
        return search(
            talker, cup, rows, parse_reward("contains:cup"), budget_kl=6.0, grid=grid, sampling=sampling, folder=folder
        )

    def benchmarked(folder):
        settings = Settings("text.2", ("diff-mean",), (1.0,), 2, 3, examples=4)
        asked = [Sample(str(at), text) for at, text in enumerate(texts)]
        return without_times(run(Bench(talker, asked, settings, Words(), folder), known, {}))

    def trained(folder):
        vectors = AdditiveVectors(where)
        log = train(vectors, Likelihood(answered("cup cup")), Schedule(6, 0.1), settings={}, folder=folder)
        return log, [part.tolist() for part in vectors.parts]

    def learned(folder):
        source, training = Shuffled(Held(states), batch=32), Training(16, 6)
        found = train_dictionary(source, TopK(3), training, checkpoint=folder / STATE, checkpoint_steps=2)
        return found.encoder.tolist(), found.decoder.tolist()

    return dict(zip(KINDS, (searched, benchmarked, trained, learned), strict=True))


@pytest.fixture(scope="module")
def whole(works, tmp_path_factory):
    """For each kind a finished folder, and its result."""
    folders = {kind: tmp_path_factory.mktemp("whole") / kind for kind in KINDS}
    return {kind: (folder, works[kind](folder)) for kind, folder in folders.items()}


@pytest.fixture
def copy(whole, tmp_path):
    return lambda kind: shutil.copytree(whole[kind][0], tmp_path / kind)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_folder_ends_as_the_whole_one_or_is_refused(works, whole, tmp_path, capsys, kind):
    folder, result = whole[kind]
    for number, rng in enumerate(cases()):
        hurt = shutil.copytree(folder, tmp_path / str(number))
        path = rng.choice(sorted(path for path in hurt.iterdir() if path.name != ".lock"))
        before = path.read_bytes()
        path.write_bytes(strange_file(before, rng) if rng.random() < 0.8 else b"")
        damaged = path.read_bytes() != before
        try:
            again = works[kind](hurt)
        except MmsteerError:
            # What was measured is made again; what was trained is not thrown away without being asked.
            assert kind not in LOGS or path.name != LOGS[kind], f"case {number}"
        else:
            assert again == result, f"case {number}: {path.name}"
            if damaged and path.name in LOGS.values():
                assert "damaged" in capsys.readouterr().err, f"case {number}"
        shutil.rmtree(hurt)


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("how", ["7\n", "{}\n", '"\xff"\n', "digit", "doubled", "fewer"])
def test_lines_that_are_not_as_they_were_written_are_made_again(works, whole, copy, capsys, kind, how):
    folder = copy(kind)
    log = folder / LOGS[kind]
    lines = log.read_bytes().splitlines(keepends=True)
    at = lines[0].index(b"1.") if b"1." in lines[0] else lines[0].index(b"0.")
    worse = {
        "digit": [lines[0][: at + 2] + b"7" + lines[0][at + 2 :], *lines[1:]],
        "doubled": [*lines, lines[0]],
        "fewer": lines[:-1],
    }
    log.write_bytes(b"".join(worse.get(how, [*lines, how.encode("latin-1")])))
    assert works[kind](folder) == whole[kind][1]
    if kind == "search":
        assert content(folder) == content(whole[kind][0])
    assert "made again" in capsys.readouterr().err
    assert works[kind](folder) == whole[kind][1]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["fewer", "digit", "other"])
def test_a_log_of_steps_that_is_not_as_it_was_written_is_refused(works, copy, how):
    log = copy("train") / "steps.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    worse = {"fewer": lines[:3], "digit": [lines[0].replace(b'"step": 0', b'"step": 1'), *lines[1:]], "other": [b"7\n"]}
    log.write_bytes(b"".join(worse[how]))
    with pytest.raises(MmsteerError, match=r"steps\.jsonl is damaged: its first 6 lines are not as they were written"):
        works["train"](log.parent)


@pytest.mark.parametrize("kind", ["train", "dictionary"])
@pytest.mark.parametrize("how", ["bit", "empty", "half", "header"])
def test_a_checkpoint_that_is_not_as_it_was_written_is_refused(works, copy, kind, how):
    folder = copy(kind)
    data = bytearray((folder / STATE).read_bytes())
    if how == "bit":
        data[-1] ^= 1
    elif how == "header":
        data = data.replace(b"told", b"tale")
    (folder / STATE).write_bytes({"empty": b"", "half": data[: len(data) // 2]}.get(how, data))
    with pytest.raises(MmsteerError, match=r"damaged or no checkpoint .*; remove it and start again"):
        works[kind](folder)


@pytest.mark.parametrize("kind", OWNERS)
@pytest.mark.parametrize("text", ["[]", "7", "", "{"])
def test_a_damaged_name_of_the_owner_is_one_error(works, copy, kind, text):
    folder = copy(kind)
    (folder / OWNERS[kind]).write_text(text)
    with pytest.raises(MmsteerError, match="move the folder away and start again"):
        works[kind](folder)


@pytest.mark.parametrize("kind", OWNERS)
def test_whose_folder_it_is_stands_as_it_was_written(works, whole, copy, capsys, kind):
    folder = copy(kind)
    told = folder / OWNERS[kind]
    told.write_text(json.dumps(json.loads(told.read_text())))
    assert works[kind](folder) == whole[kind][1]
    assert told.read_bytes() == (whole[kind][0] / OWNERS[kind]).read_bytes()
    assert f"{told}: damaged, and made again" in capsys.readouterr().err


@pytest.mark.parametrize("kind", OWNERS)
def test_a_folder_of_somebody_else_stays_as_it_is(works, tmp_path, kind):
    for name in ("index.html", "steps.jsonl", "tradeoff.svg"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(MmsteerError, match=r"is not empty and holds no .*; give a folder that is new or empty"):
        works[kind](tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("index.html", "steps.jsonl", "tradeoff.svg"), "mine"
    )


@pytest.mark.parametrize("kind", OWNERS)
def test_a_file_in_the_place_of_the_folder_is_one_error(works, tmp_path, kind):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MmsteerError, match="file is a file; give a folder"):
        works[kind](tmp_path / "file")
    with pytest.raises(MmsteerError, match="cannot be written: Not a directory"):
        works[kind](tmp_path / "file" / "inside")


@pytest.mark.parametrize("kind", OWNERS)
def test_a_second_process_is_refused_and_changes_nothing(works, copy, kind):
    folder = copy(kind)
    for log in folder.glob("*.jsonl"):
        log.write_bytes(log.read_bytes() + b'{"half')
    before = content(folder)
    # Another opening of the file, as another process has.
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(MmsteerError, match="another process is running in"):
            works[kind](folder)
    assert content(folder) == before
