"""Before and after side by side: players, or words with those marked that changed."""

import base64
import io
from typing import Any

import numpy as np
import soundfile
from markupsafe import Markup, escape

from mmsteer.adapters import AnyAdapter
from mmsteer.eval.text import Segment, word_changes
from mmsteer.report.spectrograms import spectrogram
from mmsteer.studio.workshop import Compared

STYLE = """
.studio-pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
.studio-pair figure { margin: 0; padding: 0.8rem; border: 1px solid var(--border-color-primary); border-radius: 8px; }
.studio-pair figcaption { font-weight: 600; margin-bottom: 0.4rem; }
.studio-pair p { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
.studio-pair audio, .studio-pair img { width: 100%; }
.studio-pair img { height: 7rem; }
.studio-pair .removed { background: #ffd6d6; color: #7a0000; text-decoration: line-through; }
.studio-pair .added { background: #d3f5d8; color: #00480c; }
"""


def side_by_side(adapter: AnyAdapter, made: Compared) -> str:
    """Both outputs as HTML; nothing in it is fetched.

    Args:
        adapter: What made them.
        made: The outputs.
    """
    if adapter.output_kind == "audio":
        rate = adapter.sample_rate
        assert rate is not None
        before, after = _player(made.before, rate), _player(made.after, rate)
    else:
        changes = word_changes(made.before, made.after)
        before, after = _words(changes, "removed"), _words(changes, "added")
    parts = [_figure("unsteered", before), _figure("steered", after)]
    return str(Markup('<div class="studio-pair">{}</div>').format(Markup("").join(parts)))


def _figure(title: str, content: Markup) -> Markup:
    shape = Markup('<figure class="{}"><figcaption>{}</figcaption>{}</figure>')
    return shape.format(title, title, content)


def _words(changes: tuple[Segment, ...], kind: str) -> Markup:
    kept = [one for one in changes if one.change in ("same", kind)]
    words = [escape(one.text) if one.change == "same" else _marked(kind, one.text) for one in kept]
    return Markup("<p>{}</p>").format(Markup(" ").join(words) or Markup("<i>nothing</i>"))


def _marked(kind: str, text: str) -> Markup:
    return Markup('<mark class="{}">{}</mark>').format(kind, text)


def _player(wave: Any, sample_rate: int) -> Markup:
    clip = np.clip(np.asarray(wave, dtype=np.float32), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, clip, sample_rate, subtype="PCM_16", format="wav")
    picture = spectrogram(clip if clip.ndim == 1 else clip.mean(axis=1), sample_rate)
    shape = Markup('<audio controls src="data:audio/wav;base64,{}"></audio><img alt="spectrogram" src="{}">')
    return shape.format(_base64(file.getvalue()), Markup("data:image/png;base64,") + _base64(picture))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
