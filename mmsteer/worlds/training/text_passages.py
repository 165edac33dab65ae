"""Openly licensed English text that installed packages hold, as passages: documentation, and definitions of words.

No package is imported: docstrings are taken from the source by its syntax tree. A package that is not installed is left
out, and which versions were read is part of a corpus' fingerprint.
"""

import ast
import inspect
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

CHARACTERS = 900
"""Of a passage, at most; a token is about four."""
FEWEST = 200
DEFINITIONS_A_PASSAGE = 10
PYTHON = "python"
LIBRARY = ("pydoc_data", "email", "http", "json", "logging", "unittest", "asyncio", "concurrent", "xml", "urllib")


@dataclass(frozen=True)
class Collection:
    """Text of one origin.

    Attributes:
        package: Its distribution, or `python` for the standard library.
        licence: SPDX name of the text's licence.
        folders: Folders of Python files whose docstrings are read, below the place where packages are.
        files: Patterns of text files that are read as they are.
        passages: How many are taken, at most.
    """

    package: str
    licence: str
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    passages: int = 700


COLLECTIONS = (
    Collection(PYTHON, "PSF-2.0", (".", *LIBRARY), passages=1400),
    Collection("scikit-learn", "BSD-3-Clause", ("sklearn",), ("sklearn/datasets/descr/*.rst",)),
    Collection("scipy", "BSD-3-Clause", ("scipy",)),
    Collection("numpy", "BSD-3-Clause", ("numpy",)),
    Collection("sympy", "BSD-3-Clause", ("sympy",)),
    Collection("networkx", "BSD-3-Clause", ("networkx",)),
    Collection("librosa", "ISC", ("librosa",), passages=300),
    Collection("transformers", "Apache-2.0", ("transformers",)),
    # Definitions of WordNet's nouns, as timm ships them for the classes of ImageNet.
    Collection("timm", "WordNet-3.0", files=("timm/data/_info/imagenet_synset_to_definition.txt",), passages=2200),
)


def passages(seed: int, collections: Sequence[Collection] = COLLECTIONS) -> tuple[str, ...]:
    """Passages of all collections that are installed, mixed; neighbours are of different documents.

    Args:
        seed: Of choice and order.
        collections: Where they are from.
    """
    found = [text for one in collections for text in _taken(one, seed)]
    order = np.random.default_rng([seed, len(found)]).permutation(len(found))
    return tuple(found[index] for index in order)


def sources(collections: Sequence[Collection] = COLLECTIONS) -> tuple[str, ...]:
    """What is installed of the collections, with versions and licences.

    Args:
        collections: Where passages are from.
    """
    known = ((one, _version(one.package)) for one in collections)
    return tuple(f"{one.package} {version} ({one.licence})" for one, version in known if version is not None)


def _taken(collection: Collection, seed: int) -> list[str]:
    if _version(collection.package) is None:
        return []
    texts = list(dict.fromkeys(_cut(_documents(collection))))
    order = np.random.default_rng([seed, len(texts)]).permutation(len(texts))
    return [texts[index] for index in order[: collection.passages]]


def _version(package: str) -> str | None:
    if package == PYTHON:
        return sysconfig.get_python_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _documents(collection: Collection) -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib" if collection.package == PYTHON else "purelib"))
    for pattern in collection.files:
        for file in sorted(root.glob(pattern)):
            yield from _lines(file) if file.suffix == ".txt" else [file.read_text(encoding="utf-8", errors="replace")]
    for folder in collection.folders:
        files = (root / folder).glob("*.py") if folder == "." else (root / folder).rglob("*.py")
        for file in sorted(files):
            yield from _docstrings(file)


def _lines(file: Path) -> Iterator[str]:
    """Definitions, a line each after its number, several to a document."""
    definitions = [line.partition("\t")[2] for line in file.read_text(encoding="utf-8").splitlines()]
    order = np.random.default_rng(len(definitions)).permutation(len(definitions))
    for start in range(0, len(order), DEFINITIONS_A_PASSAGE):
        yield "\n".join(definitions[index].capitalize() + "." for index in order[start : start + DEFINITIONS_A_PASSAGE])


def _docstrings(file: Path) -> Iterator[str]:
    """Docstrings of a module, and long strings in it, which is how `pydoc_data` holds the language reference."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) >= FEWEST:
            yield inspect.cleandoc(node.value)


def _cut(documents: Iterator[str]) -> Iterator[str]:
    """Passages of whole paragraphs, as long as fits."""
    for document in documents:
        passage = ""
        for paragraph in document.split("\n\n"):
            if passage and len(passage) + len(paragraph) > CHARACTERS:
                yield from _long_enough(passage)
                passage = ""
            passage = f"{passage}\n\n{paragraph}".strip("\n")[:CHARACTERS]
        yield from _long_enough(passage)


def _long_enough(passage: str) -> Iterator[str]:
    # A passage of words: tables of numbers and data in strings teach little.
    letters = sum(letter.isalpha() or letter == " " for letter in passage)
    if len(passage) >= FEWEST and letters > 0.75 * len(passage):
        yield passage
