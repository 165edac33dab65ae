"""The notebooks: well formed and without outputs; with --slow they run."""

import ast
import importlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def missing_names(code):
    """What code imports from mmsteer, or reads as `mmsteer.NAME`, that is not there."""
    missing = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmsteer"):
            module, names = importlib.import_module(node.module), [one.name for one in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mmsteer":
            module, names = importlib.import_module("mmsteer"), [node.attr]
        else:
            continue
        missing += [name for name in names if not hasattr(module, name)]
    return missing


def test_all_four_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["hallucination", "music", "sae", "text"]


@NAMES
def test_a_notebook_is_well_formed_without_outputs(path):
    book = json.loads(path.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for cell in book["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


@NAMES
def test_names_of_mmsteer_exist(path):
    assert missing_names("\n".join(code_of(path))) == []


def test_missing_names_are_found():
    assert missing_names("import mmsteer\nfrom mmsteer.sae import nothing\nmmsteer.lod('x')") == ["nothing", "lod"]


@pytest.mark.slow
@NAMES
def test_a_notebook_runs(path, request):
    if path.stem in ("sae", "text"):
        request.getfixturevalue("smollm2")
    names = {}
    for code in code_of(path):
        exec(code, names)
