"""The range of transformers that is allowed is the one that is tested: by `make test-oldest` from its lower end."""

import re
import tomllib
from pathlib import Path

import transformers
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def allowed(requirements):
    (found,) = (one for one in map(Requirement, requirements) if one.name == "transformers")
    return found.specifier


def test_the_range_ends_before_the_next_release_that_nobody_has_tried():
    ends = {one.operator: Version(one.version) for one in allowed(PROJECT["project"]["dependencies"])}
    assert ends.keys() == {">=", "<"}
    assert transformers.__version__ in allowed(PROJECT["project"]["dependencies"])
    (locked,) = re.findall(r'name = "transformers"\nversion = "([\d.]+)"', (ROOT / "uv.lock").read_text())
    assert Version(locked).release[:2] == (ends["<"].major, ends["<"].minor - 1)


def test_the_oldest_release_is_the_one_that_is_installed():
    """uv applies the overrides of this project to `uv pip install`, too, unless it is told to read none."""
    oldest = re.search(r"^OLDEST = (\S+)$", MAKEFILE, re.MULTILINE)[1]
    overrides = allowed(PROJECT["tool"]["uv"]["override-dependencies"])
    assert [one.version for one in overrides if one.operator == ">="] == [oldest.removesuffix(".0")]
    assert "pip install --no-config --python .venv-oldest/bin/python transformers==$(OLDEST)" in MAKEFILE
    assert 'assert transformers.__version__ == "$(OLDEST)"' in MAKEFILE
