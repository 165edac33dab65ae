"""The libraries that make the numbers of a run."""

from importlib import metadata

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "librosa",
    "soundfile",
    "safetensors",
    "pydantic",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """The version of each."""
    return {name: metadata.version(name) for name in PACKAGES}
