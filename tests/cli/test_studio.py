"""`mmsteer studio`: what it says where Gradio is missing."""

import sys


def test_gradio_is_an_extra(mmsteer, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, _, err = mmsteer("studio", "--folder", tmp_path / "new")
    assert (code, err) == (2, "error: gradio is not installed: pip install 'mmsteer[studio]'\n")
    assert not (tmp_path / "new").exists()
