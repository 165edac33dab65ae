"""A wheel installed elsewhere lists, copies and runs a recipe."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    site = folder / "site"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def mmsteer(site: Path, cwd: Path, *arguments: str) -> str:
    code = "import mmsteer, sys; assert mmsteer.__file__.startswith(sys.argv.pop(1)); import mmsteer.cli as c; c.main()"
    command = [sys.executable, "-P", "-c", code, str(site), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_small_and_names_the_model_that_it_leaves_out(site):
    assert sum(file.stat().st_size for file in site.rglob("*")) < 80e6
    code = "import mmsteer; mmsteer.load('bundled:band')"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "which leaves out band" in done.stderr


def test_it_lists_and_copies(site, tmp_path):
    listed = mmsteer(site, tmp_path, "recipes", "list")
    names = [file.stem for file in (ROOT / "recipes").glob("*.yaml")]
    assert names
    assert all(name in listed for name in names)
    mmsteer(site, tmp_path, "recipes", "copy", "one-note", "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == (ROOT / "recipes" / "one-note.yaml").read_text()


def test_it_runs_on_the_bundled_model(site, tmp_path):
    mmsteer(site, tmp_path, "recipes", "copy", "one-note", "mine.yaml")
    small = ["data.world.n=2", "generate.seconds=0.5", "evaluate=[notes]", "directions.0.data.clips=8"]
    mmsteer(site, tmp_path, "run", "mine.yaml", *small, "--out", "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
    assert (tmp_path / "run" / "report.html").is_file()
    assert len((tmp_path / "run" / "samples.jsonl").read_text().splitlines()) >= 4
