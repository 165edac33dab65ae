import io
import tracemalloc
from math import gcd

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from mmsteer.errors import EvalError
from mmsteer.eval.audio import read_audio, resample
from mmsteer.eval.notes import read_notes
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


def test_no_file_is_named_by_20000_characters():
    with pytest.raises(EvalError, match="no such audio file") as caught:
        read_audio("x" * 20_000)
    assert len(str(caught.value)) <= 1000


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000, 96000, 192000])
@pytest.mark.parametrize(("extension", "subtype"), [("wav", "PCM_24"), ("wav", "DOUBLE"), ("flac", "PCM_24")])
def test_a_note_is_the_same_at_every_rate(tmp_path, rate, extension, subtype):
    soundfile.write(tmp_path / f"a.{extension}", tone(64, 1.0, rate=rate), rate, subtype=subtype)
    audio = read_audio(tmp_path / f"a.{extension}")
    assert audio.sample_rate == rate
    assert read_notes(audio.samples, rate).main_note == "E"


NOISE_THEN_TONE = np.concatenate([0.3 * np.random.default_rng(0).standard_normal(88200), tone(60, 10.0, rate=44100)])


def _mp3(first_s=NOISE_THEN_TONE, rate=44100, xing=True, tag=0):
    """An MP3 of a variable bit rate; its Xing frame, the first one, can be left out, and cover art put before it."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", rate, 1, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE", compression_level=0.3
    ) as file:
        file.write(first_s)
    data = buffer.getvalue()
    if not xing:
        start = data.index(b"\xff", 4)
        while data[start + 1] != data[1] or start < 100:  # the next frame has the same version and layer
            start = data.index(b"\xff", start + 1)
        assert {b"Xing", b"Info"} & {data[at : at + 4] for at in range(start)}
        data = data[start:]
    size = bytes(tag >> shift & 127 for shift in (21, 14, 7, 0))
    return (b"ID3\x04\0\0" + size + b"\0" * tag if tag else b"") + data


@pytest.mark.parametrize("tag", [0, 200_000], ids=["no art", "art"])
@pytest.mark.parametrize("xing", [True, False], ids=["xing", "no xing"])
@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_is_read_to_its_end_whatever_its_header_knows(tmp_path, xing, tag, quiet_first):
    clip = NOISE_THEN_TONE * np.where(np.arange(len(NOISE_THEN_TONE)) < 88200, not quiet_first, 1)
    (tmp_path / "a.mp3").write_bytes(_mp3(clip, xing=xing, tag=tag))
    audio = read_audio(tmp_path / "a.mp3")
    assert audio.seconds == pytest.approx(12, abs=0.1)
    assert np.square(audio.samples[-3 * 44100 : -44100]).mean() == pytest.approx(
        np.square(clip[-3 * 44100 : -44100]).mean(), rel=0.1
    )


def test_an_mp3_that_knows_its_length_and_is_cut_off_is_refused(tmp_path):
    data = _mp3()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(EvalError, match=r"a\.mp3: the file is cut off or damaged"):
        read_audio(tmp_path / "a.mp3")


def test_tags_without_audio_are_refused(tmp_path):
    (tmp_path / "a.mp3").write_bytes(_mp3(tag=100_000)[:50_000])
    with pytest.raises(EvalError, match=r"a\.mp3"):
        read_audio(tmp_path / "a.mp3")


def test_tags_without_number_are_refused_before_they_are_read(tmp_path):
    (tmp_path / "b.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\0" * 20 + _mp3())
    assert read_audio(tmp_path / "b.mp3").seconds > 1
    (tmp_path / "a.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\0" * 200_000)
    with pytest.raises(EvalError, match=r"a\.mp3: more than 100 ID3 tags"):
        read_audio(tmp_path / "a.mp3")


def _stereo(tmp_path, left, right):
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
    return read_audio(tmp_path / "a.wav")


def test_channels_that_cancel_out_are_judged_by_their_difference(tmp_path):
    clip = tone(69, 1.0)
    audio = _stereo(tmp_path, clip + 0.2, -clip + 0.2)  # an offset common to both is no sound
    assert audio.mix == "side"
    np.testing.assert_allclose(audio.samples, clip, atol=1e-6)
    assert read_notes(audio.samples, 16000).main_note == "A"
    assert _stereo(tmp_path, clip, clip).mix == _stereo(tmp_path, clip, 0 * clip).mix == "mid"


@pytest.mark.parametrize("rate", [1, 2, 999, 768_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(60, 0.5), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(bytes(data))
    with pytest.raises(EvalError, match=rf"a\.wav: the sample rate is {rate} Hz; it must be 1000 to 768000"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(EvalError, match="sample rate"):
        resample(np.zeros(8), rate, 16000)


def test_a_flac_that_claims_any_length_costs_what_is_there(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(60, 0.5), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # the low 36 bits of bytes 18 to 25 are the number of samples
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(bytes(data))
    tracemalloc.start()
    with pytest.raises(EvalError, match=r"cut off or damaged: .* of 68719476735 samples"):
        read_audio(tmp_path / "a.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("rate", [44100, 22051, 8000])
def test_resampling_in_blocks_is_resampling_at_once(monkeypatch, rate):
    clip = np.random.default_rng(0).standard_normal(50_001)
    shared = gcd(rate, 16000)
    whole = resample_poly(clip, 16000 // shared, rate // shared)
    monkeypatch.setattr("mmsteer.eval.audio.BLOCK", 3000)
    np.testing.assert_array_equal(resample(clip, rate, 16000), whole)
