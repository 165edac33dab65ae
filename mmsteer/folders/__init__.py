"""Folders that belong to one piece of work: claimed, locked, and found damaged where they are."""

from mmsteer.folders.checkpoint import load_checkpoint, save_checkpoint
from mmsteer.folders.claim import LOCK, claimed, holds_others, locked, make_folder
from mmsteer.folders.digests import DIGESTS, Digests, digest_of, say
from mmsteer.folders.lines import KeptLines

__all__ = [
    "DIGESTS",
    "LOCK",
    "Digests",
    "KeptLines",
    "claimed",
    "digest_of",
    "holds_others",
    "load_checkpoint",
    "locked",
    "make_folder",
    "save_checkpoint",
    "say",
]
