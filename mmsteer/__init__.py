"""Steer multimodal models while they generate: find directions, inject them on a schedule, measure what changed."""

import lazy_loader

# Names are imported when they are first asked for: `import mmsteer` alone loads no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
