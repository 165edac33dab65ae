import numpy as np
import pytest
import soundfile

from mmsteer.errors import EvalError
from mmsteer.eval.audio import read_audio, resample
from tests.eval.tones import tone

FORMATS = [
    ("wav", "PCM_U8", 1 / 127),
    ("wav", "PCM_16", 1e-4),
    ("wav", "PCM_24", 1e-6),
    ("wav", "PCM_32", 1e-6),
    ("wav", "FLOAT", 1e-7),
    ("wav", "DOUBLE", 1e-7),
    ("flac", "PCM_16", 1e-4),
    ("ogg", "VORBIS", 0.05),
    ("aiff", "PCM_16", 1e-4),
]


@pytest.mark.parametrize(("extension", "subtype", "tolerance"), FORMATS)
def test_every_format_is_read_within_its_resolution(tmp_path, extension, subtype, tolerance):
    clip = tone(60, 0.5)
    soundfile.write(tmp_path / f"a.{extension}", clip, 16000, subtype=subtype)
    audio = read_audio(tmp_path / f"a.{extension}")
    assert (audio.sample_rate, audio.channels, audio.seconds) == (16000, 1, 0.5)
    assert audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples, clip, atol=tolerance)


def test_mp3_is_read(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(60, 1.0, rate=44100), 44100)
    audio = read_audio(tmp_path / "a.mp3")
    assert abs(audio.seconds - 1.0) < 0.1
    assert abs(np.abs(audio.samples).max() - np.abs(tone(60, 1.0, rate=44100)).max()) < 0.1


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = tone(60, 0.5), tone(67, 0.5)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav")
    assert audio.channels == 2
    np.testing.assert_allclose(audio.samples, (left + right) / 2, atol=1e-6)


def test_silence_is_audio(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    assert not read_audio(tmp_path / "a.wav").samples.any()


def _write(path, what):
    clip = tone(60, 0.5)
    if what == "text":
        path.write_text("these are not the samples you are looking for")
    elif what == "blank":
        path.write_bytes(b"")
    elif what == "header":
        soundfile.write(path, clip, 16000)
        path.write_bytes(path.read_bytes()[:30])
    elif what == "cut":
        soundfile.write(path, clip, 16000)
        path.write_bytes(path.read_bytes()[:-3000])
    elif what == "empty":
        soundfile.write(path, np.zeros(0), 16000)
    elif what == "nan":
        clip[7] = np.nan
        soundfile.write(path, clip, 16000, subtype="FLOAT")
    elif what == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "no such audio file"),
        ("folder", "no such audio file"),
        ("text", "not readable as audio"),
        ("blank", "not readable as audio"),
        ("header", "not readable as audio|cut off|empty"),
        ("cut", "cut off"),
        ("empty", "empty"),
        ("nan", "1 of 8000 samples are not finite"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(tmp_path, what, message):
    _write(tmp_path / "a.wav", what)
    with pytest.raises(EvalError, match=message) as caught:
        read_audio(tmp_path / "a.wav")
    assert "a.wav" in str(caught.value)


def test_a_cut_flac_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(60, 3.0), 16000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(EvalError, match=r"a\.flac"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_written_to_a_pipe_is_read_although_its_length_was_never_filled_in(tmp_path, length):
    soundfile.write(tmp_path / "a.wav", tone(60, 0.5), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = length.to_bytes(4, "little")
    at = data.index(b"data") + 4
    data[at : at + 4] = length.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(bytes(data))
    assert len(read_audio(tmp_path / "a.wav").samples) == 8000


def test_resampling_keeps_pitch_and_length():
    clip = resample(tone(69, 1.0, rate=44100, harmonics=1), 44100, 16000)
    assert len(clip) == 16000
    assert np.argmax(np.abs(np.fft.rfft(clip))) == 440


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [(np.zeros((2, 8)), 16000, "mono"), (np.zeros(0), 16000, "empty"), (np.zeros(8), 0, "sample rate")],
)
def test_arrays_that_cannot_be_judged_are_refused(samples, rate, message):
    with pytest.raises(EvalError, match=message):
        resample(samples, rate, 16000)
