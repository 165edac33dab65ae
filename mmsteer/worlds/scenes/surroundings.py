"""What is in a picture beside its objects: the backdrop, and parts of objects that have names of their own."""

from collections.abc import Mapping

from mmsteer.worlds.scenes.backdrops import backdrop_names
from mmsteer.worlds.scenes.scene import Scene

# In the classes of `mmsteer.eval.open_nouns`.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "bed": ("pillow", "blanket"),
    "couch": ("pillow",),
    "pizza": ("cheese", "meat", "bread", "plate"),
    "cup": ("coffee",),
    "wine glass": ("juice",),
    "car": ("window", "door"),
    "bus": ("window", "door"),
    "refrigerator": ("door",),
    "oven": ("door",),
    "microwave": ("door",),
    "traffic light": ("pole",),
    "stop sign": ("pole",),
    "potted plant": ("flower", "bush"),
    "tv": ("hill", "sun", "painting"),
    "book": ("paper",),
}


def surroundings(scene: Scene) -> frozenset[str]:
    """What a caption may name beside the objects, neither right nor wrong.

    Args:
        scene: The scene.
    """
    parts = (part for thing in scene.things for part in _PARTS.get(thing.name, ()))
    return backdrop_names(scene.kind) | frozenset(parts)
