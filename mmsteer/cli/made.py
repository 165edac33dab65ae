"""What `mmsteer generate` makes, written and shown."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from mmsteer.cli.files import write_out
from mmsteer.eval.attributes import ATTRIBUTES, read_any_file
from mmsteer.eval.text import Segment, word_changes
from mmsteer.eval.tunes import melody_accuracy
from mmsteer.steering import Receipt, Steering, steer
from mmsteer.types import Chat, Raw, Sample, Sampling
from mmsteer.types.tune import Tune

WITHOUT_EFFECT = {
    "tempo": "the tempo asked for was heard in .28 and .47 of the clips, unsteered in .39",
    "chord": "the quality asked for was heard in .38 of the clips in which one was told, by chance in .25",
}
"""Families of ready-made directions that were measured to change nothing; the numbers are those of docs/results.md."""
LONG = 4.0
"""Seconds of music that are made."""
STYLES = {"removed": "bold red strike", "added": "bold green"}


def chat(prompt: str, system: str | None, raw: bool) -> str | Chat | Raw:
    """A prompt as a model is given it.

    `system`: the system prompt; None for the model's own.
    """
    if raw:
        return Raw(prompt)
    if system is None:
        return prompt
    return Chat(({"role": "system", "content": system}, {"role": "user", "content": prompt}))


def answer(
    adapter: Any,
    steering: Steering,
    sample: Sample,
    sampling: Sampling,
    seed: int,
    out: Path | None,
    *,
    compare: bool,
) -> None:
    """Print a model's answer; steered, with what was applied, and if asked beside the unsteered one.

    Args:
        adapter: A model that writes text.
        steering: What to apply; nothing prints the answer alone.
        sample: The prompt.
        sampling: How the answer is sampled.
        seed: Of what is drawn.
        out: Where the answer is written, too.
        compare: Whether the unsteered answer is shown.
    """
    plain = _made(adapter, Steering(), sample, sampling, seed)[0] if compare else ""
    made, receipt = _made(adapter, steering, sample, sampling, seed)
    if out is not None:
        write_out(out, f"{made}\n".encode())
    if not steering.attributes:
        _say(Text(made))
        return
    changes = word_changes(plain, made) if compare else ()
    if compare:
        _say(Text("unsteered: ").append_text(marked(plain, changes, "removed")))
    _say(Text("steered:   ").append_text(marked(made, changes, "added")))
    _say(Text(f"applied:   {receipt}"))


def answer_verified(
    adapter: Any, steering: Steering, sample: Sample, sampling: Sampling, seed: int, out: Path | None, least: float
) -> None:
    """Print a description without the objects that the unsteered model denies, and what it was asked.

    Args:
        adapter: A model that sees.
        steering: What to apply while it describes.
        sample: The prompt with its image.
        sampling: How the description is sampled.
        seed: Of what is drawn.
        out: Where what is left is written, too.
        least: Log-odds of yes below which an object is denied.
    """
    from mmsteer.eval.chair_parser import object_parser
    from mmsteer.verified import OwnAnswer, verify

    made, receipt = _made(adapter, steering, sample, sampling, seed)
    [found] = verify([replace(sample, output=made)], OwnAnswer(adapter), object_parser(), least=least)
    if out is not None:
        write_out(out, f"{found.sample.output}\n".encode())
    _say(Text(f"said:    {found.said}"))
    _say(Text(f"left:    {found.sample.output}"))
    readings = [*((one, "denied") for one in found.denied), *((one, "confirmed") for one in found.kept)]
    told = (
        ", ".join(f"{one.object} {one.reading:+.1f} {what}" for one, what in readings) or "no object of COCO is named"
    )
    _say(Text(f"asked:   is it in the image? log-odds of yes, denied under {least:g}: {told}"))
    if steering.attributes:
        _say(Text(f"applied: {receipt}"))


def play(
    adapter: Any,
    steering: Steering,
    sample: Sample,
    sampling: Sampling,
    seed: int,
    out: Path,
    tune: Tune | None = None,
) -> None:
    """Write a model's audio, and print what was applied and what the evaluators of the steered families find in it.

    Args:
        adapter: A model that makes audio.
        steering: What to apply.
        sample: The prompt, and what is continued.
        sampling: How the audio is sampled.
        seed: Of what is drawn.
        out: Where the audio is written.
        tune: What it is to follow.
    """
    usual = Sampling(seconds=_usual_seconds(sample) if tune is None else _given_seconds(sample) + tune.seconds)
    made, receipt = _made(adapter, steering, sample, sampling.filled(usual), seed)
    write_out(out, _encoded(made, adapter.sample_rate, out.suffix.lower().removeprefix(".")))
    print(f"{out}: {len(made) / adapter.sample_rate:.2f} s")
    if steering.attributes:
        print(f"applied: {receipt}")
    if tune is not None:
        trace = read_any_file(out, "notes")["trace"]
        print(f"{tune}\nfollowed for {melody_accuracy(tune, trace):.0%} of its time")
    for family in families(steering):
        if family == "note":
            print(f"heard:   {_notes(out)}")
        elif family in ATTRIBUTES:
            label = read_any_file(out, ATTRIBUTES[family].evaluator)[ATTRIBUTES[family].field]
            print(f"heard:   {family} {label or 'not told'}")


def families(steering: Steering) -> tuple[str, ...]:
    """The families of what is steered, each once."""
    return tuple(dict.fromkeys(item.direction.name.partition(":")[0] for item in steering.attributes))


def warn_of_no_effect(steering: Steering) -> None:
    """Say of ready-made directions which were measured to change nothing."""
    for family in families(steering):
        if family in WITHOUT_EFFECT:
            print(f"warning: no effect of {family} directions was measured: {WITHOUT_EFFECT[family]} (docs/results.md)")


def _usual_seconds(sample: Sample) -> float:
    """Duration unless another is asked for: an audio prompt and so much beyond it."""
    return LONG + _given_seconds(sample)


def _given_seconds(sample: Sample) -> float:
    given = sample.audio_prompt
    return 0.0 if given is None else len(given.samples) / given.sample_rate


def marked(text: str, changes: Sequence[Segment], change: Literal["removed", "added"]) -> Text:
    """A text with the words marked that the other one does not have, its white space kept.

    `change`: what the words of this text that the other lacks are.
    """
    flags = [one.change == change for one in changes if one.change in ("same", change) for _ in one.text.split()]
    written = Text(text)
    for word, flag in zip(re.finditer(r"\S+", text), flags, strict=False):
        if flag:
            written.stylize(STYLES[change], *word.span())
    return written


def _made(adapter: Any, steering: Steering, sample: Sample, sampling: Sampling, seed: int) -> tuple[Any, Receipt]:
    with steer(adapter, steering) as session:
        (made,) = adapter.generate([sample], sampling, [seed])
        return made.output, session.receipt()


def _say(text: Text) -> None:
    # Lines are wrapped by the terminal, so that what is piped or copied has no breaks that were not made.
    Console(highlight=False).print(text, soft_wrap=True)


def _encoded(wave: Any, sample_rate: int, kind: str) -> bytes:
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(np.asarray(wave), -1.0, 1.0), sample_rate, subtype="PCM_16", format=kind)
    return file.getvalue()


def _notes(path: Path) -> str:
    from mmsteer.eval.audio import read_audio
    from mmsteer.eval.notes import read_notes

    audio = read_audio(path)
    reading = read_notes(audio.samples, audio.sample_rate)
    if reading.share is None:
        return "no pitch"
    most = sorted(reading.share.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in most if share > 0)
    return f"main note {reading.main_note or 'undecided'} ({shares} of the voiced {reading.voiced:.0%})"
