"""What a release of transformers that is supported cannot do; its tests are skipped there, with the reason."""

import pytest
import transformers
from packaging.version import Version

OLD = Version(transformers.__version__) < Version("5.18")

NEED = {
    "aya_vision": "its configuration is refused by transformers",
    "internvl": "its processor fails beside NumPy 2",
    "cohere2_vision": "its configuration is refused by transformers",
    "gemma3n": "without a cache it computes other keys and values, and is refused",
    "gemma3n_text": "without a cache it computes other keys and values, and is refused",
    "gemma4": "transformers does not have it yet",
    "molmo2": "transformers does not have it yet",
    "lfm2_vl": "its projector takes one image at a time",
    "deepseek_v4": "transformers does not have it yet",
    "hy_v4": "transformers does not have it yet",
    "minicpmv4_6": "transformers does not have it yet",
    "minicpmv4_7": "transformers does not have it yet",
    "melody": "its generate leaves the prompt out",
    "mamba": "its cache has no length, and is refused",
    "mamba2": "its cache has no length, and is refused",
    "olmo2": "its configuration is refused by transformers",
    "recurrent_gemma": "it does not declare its blocks, and is refused",
}
"""Models, and what is wrong with them in the oldest transformers."""

NEWEST = Version(transformers.__version__) >= Version("5.24")
NOT_YET = {"llama4": "its forward asks its language model for an output that there is not"}
"""Models, and what is wrong with them in transformers 5.24."""

needs_newer = pytest.mark.skipif(OLD, reason=f"fails in transformers {transformers.__version__} itself")


def skip_where_faulty(name: str) -> None:
    """Skip a test of a model that the installed transformers does not run."""
    if OLD and name in NEED:
        pytest.skip(f"{name} needs a newer transformers than {transformers.__version__}: {NEED[name]}")
    if NEWEST and name in NOT_YET:
        pytest.skip(f"{name} needs transformers before 5.24: {NOT_YET[name]}")
