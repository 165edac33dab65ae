from .audiocraft import AudiocraftMusicgen
from .language_model import LanguageModelAdapter
from .loading import AnyAdapter, adapt, load, read_image
from .musicgen import MusicgenAdapter
from .musicgen_transformers import TransformersMusicgen

__all__ = [
    "AnyAdapter",
    "AudiocraftMusicgen",
    "LanguageModelAdapter",
    "MusicgenAdapter",
    "TransformersMusicgen",
    "adapt",
    "load",
    "read_image",
]
