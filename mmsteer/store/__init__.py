"""Activations on disk, so that a recording can stop and go on."""

from mmsteer.store.store import ActivationStore, NormSum

__all__ = ["ActivationStore", "NormSum"]
