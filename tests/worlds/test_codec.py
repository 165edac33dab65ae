"""The codec is the transform it says it is."""

import numpy as np
import pytest
import torch
from transformers import EncodecModel

from mmsteer.worlds.training.codec import BAND, MUSIC, CodecShape, build_codec, mdct_basis, mdct_frames
from mmsteer.worlds.training.quantiser import decode, encode, fit_codebooks


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    weights = torch.linspace(1.0, 0.5, MUSIC.bands).to(torch.bfloat16).float()
    return build_codec(weights, torch.randn(len(MUSIC.spans), MUSIC.size, MUSIC.bands)), weights


def tone(seconds=0.4, hertz=440.0):
    return torch.tensor(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(16000 * seconds)) / 16000)).float()[None]


def test_the_basis_is_orthonormal_and_its_windows_cancel_their_aliases():
    basis = mdct_basis(320)
    np.testing.assert_allclose(basis @ basis.T, np.eye(320), atol=1e-10)
    # Princen-Bradley: two overlapping frames give the hop between them back.
    rng = np.random.default_rng(0)
    signal = rng.normal(size=960)
    frames = [basis @ signal[start : start + 640] for start in (0, 320)]
    middle = (basis.T @ frames[0])[320:] + (basis.T @ frames[1])[:320]
    np.testing.assert_allclose(middle, signal[320:640], atol=1e-10)


def test_the_encoder_computes_the_transform(codec):
    model, weights = codec
    with torch.no_grad():
        found = model.encoder(tone()[None]).transpose(1, 2)[..., : MUSIC.bands]
    expected = mdct_frames(tone(), weights)
    # The basis is stored in bfloat16: eight bits.
    assert (found - expected).norm() / expected.norm() < 4e-3


def test_without_quantisation_the_audio_comes_back(codec):
    model, _ = codec
    with torch.no_grad():
        back = model.decoder(model.encoder(tone()[None]))[0]
    inner = slice(640, -640)
    assert (back - tone())[:, inner].norm() / tone()[:, inner].norm() < 1e-2


def test_saving_as_bfloat16_changes_nothing(codec, tmp_path):
    model, _ = codec
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    again = EncodecModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model.float()
    with torch.no_grad():
        assert torch.equal(again.encode(tone()[None]).audio_codes, model.encode(tone()[None]).audio_codes)


def test_k_means_finds_planted_centres():
    torch.manual_seed(0)
    centres = torch.randn(16, 8) * 4
    frames = centres[torch.randint(16, (4000,))] + 0.05 * torch.randn(4000, 8)
    found = fit_codebooks(frames, [(0, 8)], 64, iterations=20)[0]  # more entries than centres: none is left out
    assert torch.cdist(centres, found).min(dim=1).values.max() < 0.1


def test_each_codebook_lowers_the_error():
    torch.manual_seed(0)
    frames = torch.randn(4000, 8)
    books = fit_codebooks(frames, 3 * [(0, 8)], 32, iterations=8)
    codes = encode(frames, books)
    errors = [float((frames - decode(codes[:, :n], books[:n])).norm()) for n in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]
    shuffled = codes[torch.randperm(4000)]
    assert (frames - decode(shuffled, books)).norm() > 2 * errors[2]


def test_a_codebook_of_a_span_looks_at_nothing_else():
    torch.manual_seed(0)
    frames = torch.randn(4000, 8)
    books = fit_codebooks(frames, [(0, 3), (3, 8)], 32, iterations=8)
    assert not books[0][:, 3:].any()
    assert not books[1][:, :3].any()
    changed = frames.clone()
    changed[:, 3:] = torch.randn(4000, 5)
    codes, others = encode(frames, books), encode(changed, books)
    assert torch.equal(codes[:, 0], others[:, 0])
    assert not torch.equal(codes[:, 1], others[:, 1])


def test_the_codec_of_the_band_is_the_transform_as_well():
    small = CodecShape(BAND.upsampling, 40, BAND.filters, spans=((0, 20), (20, 40)), size=32)
    torch.manual_seed(0)
    books = fit_codebooks(0.1 * torch.randn(4000, 40), small.spans, 32, iterations=4)
    model = build_codec(torch.ones(40), books, small)
    assert (model.config.frame_rate, model.config.num_quantizers) == (10, 2)
    audio = tone(seconds=1.0, hertz=120.0)
    with torch.no_grad():
        found = model.encoder(audio[None]).transpose(1, 2)[..., :40]
        codes = model.encode(audio[None]).audio_codes[0, 0]
    expected = mdct_frames(audio, torch.ones(40), small)
    assert (found - expected).norm() / expected.norm() < 4e-3
    assert (codes.T == encode(expected[0], books)).float().mean() > 0.9  # bfloat16 turns a close choice here and there
