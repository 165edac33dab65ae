"""What harnesses pass on: no pickled weights, and files of steering that are text."""

import pytest

from mmsteer.errors import AdapterError, SteeringError
from mmsteer.harness.given import given_steering, safe_options


@pytest.mark.parametrize("value", [False, None, 0, "False", "True"])
def test_pickled_weights_are_refused(value):
    with pytest.raises(AdapterError, match=r"use_safetensors=.*safetensors alone"):
        safe_options({"use_safetensors": value})


def test_other_options_are_passed_on():
    assert safe_options({"dtype": "float32"}) == {"dtype": "float32", "use_safetensors": True}
    assert safe_options({"use_safetensors": True}) == {"use_safetensors": True}


def test_a_file_of_steering_is_utf_8(tmp_path, talker):
    (tmp_path / "lines.txt").write_bytes(b"word:caf\xe9 3")
    with pytest.raises(SteeringError, match=r"lines.txt: byte 8 is not UTF-8"):
        given_steering(talker, "bundled:music", f"@{tmp_path}/lines.txt", None, None)
