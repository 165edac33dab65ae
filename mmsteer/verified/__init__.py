"""Descriptions whose objects the model is asked about, and which say nothing of those that it denies."""

from mmsteer.verified.answering import Checked, Reader, Verified, describe_verified, verify
from mmsteer.verified.readings import OwnAnswer

__all__ = ["Checked", "OwnAnswer", "Reader", "Verified", "describe_verified", "verify"]
