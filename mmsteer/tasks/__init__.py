"""Data of one's own: rows of a file, labelled folders, and what is true of them."""

from mmsteer.tasks.labelled import Labelled
from mmsteer.tasks.row import Row, RowSet, read_waveform
from mmsteer.tasks.sources import AUDIO, IMAGES, check_labels, digest, labelled, read_rows, sources_of

__all__ = [
    "AUDIO",
    "IMAGES",
    "Labelled",
    "Row",
    "RowSet",
    "check_labels",
    "digest",
    "labelled",
    "read_rows",
    "read_waveform",
    "sources_of",
]
