"""Steerings written into weights, for programs without mmsteer."""

from mmsteer.folding.biases import save_biased
from mmsteer.folding.changes import Change, additions, projections
from mmsteer.folding.peft_adapter import save_peft

__all__ = ["Change", "additions", "projections", "save_biased", "save_peft"]
