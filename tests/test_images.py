"""Images that can be converted are, the rest are refused."""

import os

import numpy as np
import pytest
from PIL import Image

from mmsteer import images
from mmsteer.errors import AdapterError
from mmsteer.images import read_image, upright_rgb

RED = (255, 0, 0)


def half_red(mode="RGB", size=(8, 6)):
    image = Image.new("RGB", size, "white")
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "tif"), ("P", "png"), ("RGB", "png"), ("RGBA", "png")])
def test_colours_survive_conversion(mode, suffix, tmp_path):
    half_red(mode).save(tmp_path / f"image.{suffix}")
    found = read_image(tmp_path / f"image.{suffix}")
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.asarray(half_red()))


def test_cameras_turn_their_pictures(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn the picture a quarter clockwise
    half_red().save(tmp_path / "image.png", exif=exif)
    found = np.asarray(read_image(tmp_path / "image.png"))
    assert found.shape == (8, 6, 3)
    assert (found[0] == RED).all()
    assert (found[-1] == 255).all()


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 255, 0))
    assert np.asarray(upright_rgb(clear, "clear")).min() == 255


def test_deep_grey_keeps_its_shades():
    ramp = Image.fromarray(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8))
    found = np.asarray(upright_rgb(ramp, "ramp"))[..., 0].ravel()
    assert found[0] == 0
    assert found[-1] == 255
    assert (np.diff(found.astype(int)) > 0).all()


def test_an_animation_shows_its_first_frame(tmp_path):
    frames = [Image.new("P", (8, 8), colour) for colour in (0, 1)]
    frames[0].putpalette([*RED, 0, 0, 255])
    frames[1].putpalette([*RED, 0, 0, 255])
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "image.gif").getpixel((0, 0)) == RED


def broken(kind, folder):
    path = folder / f"{kind}.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    if kind == "missing":
        return path
    if kind == "words":
        path.write_text("not an image")
    elif kind == "empty":
        path.touch()
    elif kind in ("cut", "flipped"):
        Image.fromarray(noise).save(path)
        whole = bytearray(path.read_bytes())
        whole[60:64] = b"\0\0\0\0" if kind == "flipped" else whole[60:64]
        path.write_bytes(whole[: len(whole) // 2] if kind == "cut" else whole)
    elif kind == "cut jpeg":
        path = folder / "cut.jpg"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    else:
        Image.new("L", {"dot": (1, 1), "strip": (1000, 5)}[kind]).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "cannot be read .No such file"),
        ("words", "cannot read the image .*none of PNG, JPEG"),
        ("empty", "cannot read the image .*none of PNG, JPEG"),
        ("cut", "is damaged: .*save or download it again"),
        ("flipped", "is damaged"),
        ("cut jpeg", "is damaged: image file is truncated"),
        ("dot", "has 1x1 pixels; each side must have 4 pixels or more"),
        ("strip", "has 1000x5 pixels; one side may be at most 100 times the other"),
    ],
)
def test_broken_images_are_refused(kind, message, tmp_path):
    with pytest.raises(AdapterError, match=message):
        read_image(broken(kind, tmp_path))


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(path)  # larger than what Pillow warns of
    monkeypatch.setattr(images, "_rgb", None)
    with pytest.raises(AdapterError, match="has 10000x10000 pixels; at most 64 million"):
        read_image(path)


def test_what_is_no_colour_is_refused():
    with pytest.raises(AdapterError, match=r"depth.*mode 'F'"):
        upright_rgb(Image.new("F", (8, 8)), "depth")


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript, where a loop of PostScript has no end."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: pytest.fail("Ghostscript was started"))
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{} loop\n%%EOF\n")
    with Image.open(path) as stranger:
        assert stranger.format == "EPS"
    with pytest.raises(AdapterError, match="none of PNG, JPEG"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["ppm", "ico", "pcx", "tga", "jp2"])
def test_other_formats_are_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (16, 16)).save(path)
    with pytest.raises(AdapterError, match="none of PNG, JPEG, WEBP, BMP, TIFF, GIF; save it as PNG"):
        read_image(path)


def test_pipes_and_devices_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(AdapterError, match="no regular file"):
            read_image(path)
