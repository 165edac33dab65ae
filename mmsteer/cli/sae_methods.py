"""Every command of `mmsteer sae`: dictionaries, what their features are, and the methods of papers that steer them."""

from mmsteer.cli.sae import app
from mmsteer.cli.sae_effects import effects
from mmsteer.cli.sae_flow import flow
from mmsteer.cli.sae_hallucination import hallucination
from mmsteer.cli.sae_labels import attributes, detect
from mmsteer.cli.sae_read import decompose, evaluate, scores
from mmsteer.cli.sae_steer import clamp, corrsteer, lf, saif

PANELS = {
    "What features are": (decompose, scores, evaluate, flow, detect),
    "What steering them does": (clamp, corrsteer, saif, lf, effects, hallucination, attributes),
}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)

__all__ = ["app"]
