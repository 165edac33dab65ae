"""Every command of the README and the guides is understood; every block of Python names what there is."""

import ast
import importlib
import importlib.util
import re

import pytest
import typer

import mmsteer as package
from mmsteer.cli import app
from tests.docs.blocks import ROOT, commands, python

COMMANDS, PYTHON = commands(), python()


def names(blocks):
    return [block.name for block in blocks]


@pytest.mark.parametrize("block", COMMANDS, ids=names(COMMANDS))
def test_a_command_is_one_that_there_is(block):
    program, *words = block.words()
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python" and words[0] != "-m":
        script = (ROOT / words[0]).read_text()
        options = re.findall(r"--[a-z][a-z-]*", " ".join(words[1:]))
        assert [one for one in options if not takes(script, one)] == []
    elif program == "python":
        assert importlib.util.find_spec(words[1].split(".")[0])
        assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file() or importlib.util.find_spec(words[1])
    else:
        for one in alternatives(words):
            parse(one)


def takes(script, option):
    """Whether a script declares an option itself, or calls Typer with a parameter of that name."""
    return f'"{option}"' in script or re.search(rf"\b{option[2:].replace('-', '_')}: ", script) is not None


def alternatives(words):
    """Each of the commands that `sae clamp|lf` stands for."""
    place = next((at for at, word in enumerate(words[:2]) if "|" in word), None)
    if place is None:
        return [words]
    return [[*words[:place], one, *words[place + 1 :]] for one in words[place].split("|")]


def parse(words):
    """Read a command's options as it would itself, without running it."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    if not hasattr(command, "commands"):
        with command.make_context("mmsteer", list(words)):
            pass


def test_a_misspelt_option_is_found():
    with pytest.raises(Exception, match="No such option"):
        parse(["generate", "--prompt", "a", "--strenght", "1"])
    with pytest.raises(KeyError):
        parse(["generat"])
    assert takes((ROOT / "benchmarks/workers.py").read_text(), "--ray")
    assert not takes((ROOT / "benchmarks/workers.py").read_text(), "--rays")


@pytest.mark.parametrize("block", PYTHON, ids=names(PYTHON))
def test_python_names_what_there_is(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, one.name) for one in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mmsteer":
            assert hasattr(package, node.attr), node.attr


@pytest.mark.parametrize("page", ["README.md", "steering.md"])
def test_the_first_block_of_a_page_runs(page):
    block = next(one for one in PYTHON if one.name.startswith(page))
    text = block.text.replace("seconds=4", "seconds=0.5").replace("203", "28").replace("0..2s", "0..0.4s")
    assert text != block.text
    seen: dict[str, object] = {}
    exec(text, seen)
    assert seen["session"].receipt().tokens


def test_the_pages_have_blocks():
    assert len(COMMANDS) > 100
    assert len(PYTHON) > 10


def test_the_site_has_every_page():
    site = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not re.search(rf"[ \[]{re.escape(page)}(,|\]|$)", site, re.MULTILINE)] == []
