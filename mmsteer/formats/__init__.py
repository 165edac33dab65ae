"""Files of directions: mmsteer's own, and those of other libraries."""

from mmsteer.formats.places import COUNTED, Places
from mmsteer.formats.read import kind_of, load_directions, read_content
from mmsteer.formats.table import FORMATS, OWN, Format, format_of
from mmsteer.formats.write import is_trained, save_directions, save_steering, whole

__all__ = [
    "COUNTED",
    "FORMATS",
    "OWN",
    "Format",
    "Places",
    "format_of",
    "is_trained",
    "kind_of",
    "load_directions",
    "read_content",
    "save_directions",
    "save_steering",
    "whole",
]
