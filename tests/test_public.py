"""The public surface."""

import subprocess
import sys

import mmsteer


def test_every_public_name_is_there():
    for name in mmsteer.__all__:
        assert getattr(mmsteer, name).__doc__, name


def test_importing_mmsteer_imports_no_torch():
    code = "import mmsteer, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
