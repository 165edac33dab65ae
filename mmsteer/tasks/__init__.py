"""Data of one's own: rows of a file, labelled folders, and what is true of them."""

from mmsteer.tasks.labelled import Labelled
from mmsteer.tasks.row import Row
from mmsteer.tasks.sources import check_labels, labelled, read_rows

__all__ = ["Labelled", "Row", "check_labels", "labelled", "read_rows"]
