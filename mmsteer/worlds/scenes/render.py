"""Scenes as pictures of 96 by 96 pixels."""

import numpy as np
from PIL import Image, ImageDraw

from mmsteer.worlds.scenes.backdrops import paint_backdrop
from mmsteer.worlds.scenes.drawing import SCALE, SIDE, back_to_front, corner, draw_thing
from mmsteer.worlds.scenes.scene import Scene


def render_scene(scene: Scene) -> Image.Image:
    """The scene as an RGB picture; the same for the same scene, noise included.

    Args:
        scene: What to draw.
    """
    rng = np.random.default_rng([scene.seed, SIDE])
    canvas = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE))
    paint_backdrop(ImageDraw.Draw(canvas), SIDE * SCALE, scene.kind, rng)
    for thing in back_to_front(scene.things):
        tile = draw_thing(thing)
        canvas.paste(tile, corner(thing), _faded(tile, thing.opacity))
    pixels = np.asarray(canvas.reduce(SCALE), dtype=np.float64) * scene.light
    pixels += 255 * scene.noise * rng.standard_normal(pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _faded(tile: Image.Image, opacity: float) -> Image.Image:
    return tile.getchannel("A").point(lambda value: round(value * opacity))
