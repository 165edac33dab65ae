"""Contrastive decoding: what one would use instead of steering, as logits processors of transformers."""

from mmsteer.contrastive.decoding import ContrastiveDecoding
from mmsteer.contrastive.distortion import CONFUSED, icd, noised, text_only, vcd

__all__ = ["CONFUSED", "ContrastiveDecoding", "icd", "noised", "text_only", "vcd"]
