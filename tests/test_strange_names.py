"""Names that no file can have are refused as any other that is not there, wherever one is given."""

import json
from pathlib import Path

import pytest
import torch

from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.cli.evaluate import audio_files
from mmsteer.cli.files import check_out, write_out
from mmsteer.cli.recipes import check, copy
from mmsteer.direction_file import save_directions
from mmsteer.errors import MmsteerError
from mmsteer.eval.audio import read_audio
from mmsteer.fold import check_folder
from mmsteer.formats import load_directions
from mmsteer.recipes.loading import find_recipe, place_of
from mmsteer.report.run_data import read_run
from mmsteer.tasks import read_rows
from mmsteer.types import UNKNOWN, Direction, Site, SiteStats

STRANGE = ("x" * 300, "x" * 5000, "a\0b")
SITE = Site("text", 1)
DIRECTION = Direction(
    "a", {SITE: torch.tensor([1.0, 0.0])}, {SITE: SiteStats(None, 0.0, 0.0, 0.0, None, 1.0)}, UNKNOWN, {}
)


def written(name):
    check_out(Path(name), force=False)
    write_out(Path(name), b"")


def row_with(entry):
    def read(name):
        Path("rows.jsonl").write_text(json.dumps({"prompt": "a", entry: name}))
        read_rows("rows.jsonl")

    return read


TAKEN = {
    "directions": load_directions,
    "directions of others": lambda name: load_directions(f"{name}.pt"),
    "new directions": lambda name: save_directions(name, [DIRECTION]),
    "rows": read_rows,
    "image": row_with("image"),
    "audio": row_with("audio"),
    "new file": written,
    "audio file": lambda name: [read_audio(file) for file in audio_files([Path(name)])],
    "dictionary": open_dictionary,
    "run": lambda name: read_run(Path(name)),
    "recipe": find_recipe,
    "copy": lambda name: copy("one-note", Path(name.replace("\0", "/"))),
    "model": lambda name: check("one-note", [f"model.load={json.dumps(name + '/a/b')}"]),
    "data of AxBench": lambda name: check("axbench-text", [f"data={json.dumps(name)}"]),
    "instructions": lambda name: check("axbench-text", [f"instructions={json.dumps(name)}"]),
    "recipe's directions": lambda name: check("one-note", [f"directions.0={json.dumps({'file': name})}"]),
}


@pytest.mark.parametrize("name", STRANGE, ids=["long", "very long", "null"])
@pytest.mark.parametrize("place", TAKEN)
def test_a_name_that_no_file_can_have(place, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MmsteerError) as refused:
        TAKEN[place](name)
    assert len(str(refused.value)) < 3000


@pytest.mark.parametrize("name", STRANGE, ids=["long", "very long", "null"])
def test_what_asks_whether_a_name_is_taken_says_no(name, tmp_path):
    check_folder(tmp_path / name)
    assert place_of(name, tmp_path).name == name
