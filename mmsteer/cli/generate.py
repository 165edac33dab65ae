"""`mmsteer generate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.errors import AdapterError, SteeringError

if TYPE_CHECKING:
    from mmsteer.types import Direction

BUNDLED = "bundled:"


def generate(
    prompt: Annotated[str, typer.Option(help="what to play")],
    out: Annotated[Path, typer.Option(help="the audio file: .wav or .flac")],
    steer: Annotated[
        list[str] | None, typer.Option(help="NAME STRENGTH [SCHEDULE] [at POSITIONS] [on SITES]; may be repeated")
    ] = None,
    model: Annotated[str, typer.Option(help="bundled:music, a folder, or a Hugging Face name")] = "bundled:music",
    directions: Annotated[
        Path | None, typer.Option(help="a file of directions (default: the ready-made ones of a bundled model)")
    ] = None,
    seconds: Annotated[float, typer.Option(help="duration")] = 4.0,
    seed: Annotated[int, typer.Option(help="the same seed plays the same noise, steered or not")] = 0,
    guidance: Annotated[float, typer.Option(help="scale of classifier-free guidance")] = 3.0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Play a prompt, steered, and say what was really applied and what is heard.

    [bold]Examples[/]

    mmsteer generate --prompt "a slow piano melody" --steer "note:C 0.1" --out c.wav

    mmsteer generate --prompt "flute" --steer "note:C 0.1 fade-out 0..4s" --steer "note:G 0.1 fade-in 0..4s" --out x.wav
    """
    _check_out(out, force)
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.steering import Steering, parse_attribute
    from mmsteer.steering import steer as steering_of

    hush()
    known = _directions(model, directions) if steer else {}
    steering = Steering(tuple(parse_attribute(line, known) for line in steer or ()))
    adapter = load(model, device=device, dtype=dtype)
    with steering_of(adapter, steering) as session:
        (wave,) = adapter.generate([prompt], seconds, [seed], guidance=guidance)
        receipt = session.receipt()
    _write(out, wave, adapter.sample_rate)
    print(f"{out}: {len(wave) / adapter.sample_rate:.2f} s\napplied: {receipt}\nheard:   {_heard(out)}")


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise AdapterError(f"{out} exists; choose another name, or give --force to overwrite it")
    if out.suffix.lower() not in (".wav", ".flac"):
        raise AdapterError(f"cannot write {out.suffix or 'a file without ending'!r}; choose .wav or .flac")
    if not out.parent.is_dir():
        raise AdapterError(f"there is no folder {out.parent}; make it first")


def _directions(model: str, file: Path | None) -> "dict[str, Direction]":
    from mmsteer.api import bundled_directions
    from mmsteer.direction_file import load_directions

    if file is not None:
        return load_directions(file)
    known = bundled_directions(model.removeprefix(BUNDLED)) if model.startswith(BUNDLED) else {}
    if not known:
        raise SteeringError(
            f"there are no ready-made directions for {model}; find some with `mmsteer probe --model {model} "
            "--concept note --out note.safetensors` and give --directions note.safetensors"
        )
    return known


def _write(path: Path, wave: object, sample_rate: int) -> None:
    import numpy as np
    import soundfile

    try:
        soundfile.write(path, np.clip(np.asarray(wave), -1.0, 1.0), sample_rate, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as cause:
        raise AdapterError(f"{path} cannot be written: {cause}") from None


def _heard(path: Path) -> str:
    from mmsteer.eval.audio import read_audio
    from mmsteer.eval.notes import read_notes

    audio = read_audio(path)
    reading = read_notes(audio.samples, audio.sample_rate)
    if reading.share is None:
        return "no pitch"
    most = sorted(reading.share.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in most if share > 0)
    return f"main note {reading.main_note or 'undecided'} ({shares} of the voiced {reading.voiced:.0%})"
