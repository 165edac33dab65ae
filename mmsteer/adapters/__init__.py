"""Models whose hidden states can be read and steered."""

import lazy_loader

# Names are imported when they are first asked for: most of what reads recipes and rows needs no transformers.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
