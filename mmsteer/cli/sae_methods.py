"""Every command of `mmsteer sae`: dictionaries, what their features are, and the methods of papers that steer them."""

from mmsteer.cli.sae import app
from mmsteer.cli.sae_effects import effects
from mmsteer.cli.sae_flow import flow
from mmsteer.cli.sae_hallucination import hallucination
from mmsteer.cli.sae_labels import attributes, detect
from mmsteer.cli.sae_read import decompose, evaluate, scores
from mmsteer.cli.sae_steer import clamp, corrsteer, lf, saif

READ, STEER = "What features are", "What steering them does"

app.command(rich_help_panel=READ)(decompose)
app.command(rich_help_panel=READ)(scores)
app.command(rich_help_panel=READ)(evaluate)
app.command(rich_help_panel=READ)(flow)
app.command(rich_help_panel=READ)(detect)
app.command(rich_help_panel=STEER)(clamp)
app.command(rich_help_panel=STEER)(corrsteer)
app.command(rich_help_panel=STEER)(saif)
app.command(rich_help_panel=STEER)(lf)
app.command(rich_help_panel=STEER)(effects)
app.command(rich_help_panel=STEER)(hallucination)
app.command(rich_help_panel=STEER)(attributes)

__all__ = ["app"]
