"""The search on a model that makes audio: clips are files, and the price is that of the guided model."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsteer import Sampling
from mmsteer.calibrate import divergence
from mmsteer.errors import DataError
from mmsteer.eval.attributes import Clip
from mmsteer.eval.audio import read_audio
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.report.search_page import search_page, verdict
from mmsteer.search import Grid, Place, divided, search
from mmsteer.search.pieces import Trial
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Direction, Positions, Site, SiteStats

SAMPLING = Sampling(seconds=0.5, guidance=3.0)
GRID = Grid(("decoder.1",), (0.5,), ("all", "0.2..0.4s"))
VOICED = parse_output_reward("voiced", "audio")


@pytest.fixture(scope="module")
def direction(musicgen):
    site, width = Site("decoder", 1), musicgen.widths[Site("decoder", 1)]
    vector = torch.randn(width, generator=torch.Generator().manual_seed(3))
    return Direction(
        "timbre:soft", {site: vector / vector.norm()}, {site: SiteStats(0.9, 0.0, 1.0, 1.0)}, musicgen.fingerprint
    )


@pytest.fixture(scope="module")
def rows():
    return [Row(str(at), f"rows.jsonl:{at}", f"tune {at}") for at in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def found(musicgen, direction, rows, folder):
    return search(musicgen, direction, rows, VOICED, budget_kl=50.0, grid=GRID, sampling=SAMPLING, folder=folder)


def test_every_cell_is_what_steering_alone_gives(found, musicgen, direction, rows, folder):
    tried, _ = divided(rows, 0)
    assert [cell.place for cell in found.cells] == [Place("decoder.1", 0.5, at) for at in ("all", "0.2..0.4s")]
    for cell in found.cells:
        steering = Steering((Attribute(direction, 0.5, positions=Positions(cell.place.positions), sites="decoder.1"),))
        samples = [replace(row.sample(musicgen), id=str(at)) for at, row in enumerate(tried)]
        with steer(musicgen, steering):
            made = musicgen.generate(samples, SAMPLING, range(len(tried)))
        kept = [read_audio(folder / name).samples for name in cell.answers]
        for one, wave in zip(made, kept, strict=True):
            np.testing.assert_allclose(np.clip(one.output, -1, 1), wave, atol=2**-15)
        assert cell.rewards == tuple(
            VOICED([Clip(one.output, musicgen.sample_rate) for one in made], [None] * len(made))
        )
        plain = [
            replace(row.sample(musicgen), output=read_audio(folder / name).samples.astype(np.float32))
            for row, name in zip(tried, found.unsteered.answers, strict=True)
        ]
        assert cell.kl == pytest.approx(float(divergence(musicgen, steering, plain, guidance=3.0).mean()), rel=1e-4)
    assert found.cells[0].answers != found.cells[1].answers


def test_a_finished_search_makes_no_clip_again(found, musicgen, direction, rows, folder, monkeypatch):
    monkeypatch.setattr(Trial, "generated", lambda *_: pytest.fail("made again"))
    again = search(musicgen, direction, rows, VOICED, budget_kl=50.0, grid=GRID, sampling=SAMPLING, folder=folder)
    assert again == found


@pytest.mark.parametrize("kind", ["bit", "gone"])
def test_a_damaged_clip_is_made_again(found, musicgen, direction, rows, folder, tmp_path, capsys, kind):
    copy = shutil.copytree(folder, tmp_path / "copy")
    clip = copy / found.cells[0].answers[0]
    data = clip.read_bytes()
    clip.unlink() if kind == "gone" else clip.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    options = {"budget_kl": 50.0, "grid": GRID, "sampling": SAMPLING, "folder": copy}
    assert search(musicgen, direction, rows, VOICED, **options) == found
    assert clip.read_bytes() == data
    assert f"{copy}: damaged, and made again: {found.cells[0].answers[0]}" in capsys.readouterr().err


def test_the_page_plays_the_clips_and_speaks_of_no_words(found, folder):
    page = search_page(found)
    names = (*found.tested["unsteered"].answers, *found.tested["steered"].answers)
    assert all(f'src="{name}"' in page and (folder / name).is_file() for name in names)
    assert "repetition" not in page.lower()
    assert "Repetition" not in verdict(found)[0]
    assert "at 0.2..0.4s on decoder.1" in found.line(found.cells[1])


def test_clips_need_a_folder(musicgen, direction, rows):
    with pytest.raises(DataError, match="give it a folder"):
        search(musicgen, direction, rows, VOICED, grid=GRID, sampling=SAMPLING)
