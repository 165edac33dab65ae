import torch

from mmsteer.types import Direction, Site, SiteStats

SITE = Site("decoder", 0)
notes = {
    name: Direction(name, {SITE: torch.ones(1)}, {SITE: SiteStats(1.0, 0.0, 1.0, 1.0)}, "m")
    for name in ("note:C", "note:F#")
}
