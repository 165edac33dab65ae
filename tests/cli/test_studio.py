"""`mmsteer studio`: what it says where Gradio is missing."""


def test_gradio_is_an_extra(mmsteer, monkeypatch, tmp_path):
    monkeypatch.setattr("mmsteer.cli.studio.importlib.util.find_spec", lambda name: None)
    code, _, err = mmsteer("studio", "--folder", tmp_path / "new")
    assert (code, err) == (2, "error: gradio is not installed: pip install 'mmsteer[studio]'\n")
    assert not (tmp_path / "new").exists()
