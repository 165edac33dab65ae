"""Attributes × directions × schedules → plan → an edit per site, and the receipt."""

from mmsteer.steering.attribute import Attribute, Steering, parse_attribute
from mmsteer.steering.receipt import Receipt, SiteReceipt
from mmsteer.steering.session import Session, steer
from mmsteer.steering.weights import layer_weights

__all__ = [
    "Attribute",
    "Receipt",
    "Session",
    "SiteReceipt",
    "Steering",
    "layer_weights",
    "parse_attribute",
    "steer",
]
