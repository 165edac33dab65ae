"""The recipes, probe configurations and evaluation suites that come with mmsteer."""

from pathlib import Path


def library(kind: str) -> Path:
    """The folder of one kind of settings: inside an installed package, or at the root of a checkout.

    Args:
        kind: `recipes`, `probes` or `eval`.
    """
    package = Path(__file__).parent
    installed = package / "settings" / kind
    return installed if installed.is_dir() else package.parent / kind
