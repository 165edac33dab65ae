"""Attributes × directions × schedules → plan → an edit per site, and the receipt."""

from mmsteer.steering.attribute import Attribute, Steering, parse_attribute
from mmsteer.steering.constant import constant_push
from mmsteer.steering.gate import Gate, parse_gate
from mmsteer.steering.receipt import GateReceipt, Receipt, SiteReceipt, strong
from mmsteer.steering.session import Session, steer
from mmsteer.steering.total import Total, totals
from mmsteer.steering.weights import layer_weights

__all__ = [
    "Attribute",
    "Gate",
    "GateReceipt",
    "Receipt",
    "Session",
    "SiteReceipt",
    "Steering",
    "Total",
    "constant_push",
    "layer_weights",
    "parse_attribute",
    "parse_gate",
    "steer",
    "strong",
    "totals",
]
