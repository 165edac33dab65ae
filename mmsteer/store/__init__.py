"""Activations on disk, so that a recording can stop and go on."""

from mmsteer.store.store import ActivationStore

__all__ = ["ActivationStore"]
