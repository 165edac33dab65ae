"""`mmsteer generate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.errors import AdapterError, SteeringError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter, MusicgenAdapter, VisionLanguageAdapter
    from mmsteer.steering import Steering
    from mmsteer.types import Direction

BUNDLED = "bundled:"


def generate(
    prompt: Annotated[str, typer.Option(help="what to play, or what to ask about the image")],
    out: Annotated[Path | None, typer.Option(help="music: the audio file, .wav or .flac")] = None,
    image: Annotated[Path | None, typer.Option(help="vision: the image that is shown")] = None,
    steer: Annotated[
        list[str] | None, typer.Option(help="NAME STRENGTH [SCHEDULE] [at POSITIONS] [on SITES]; may be repeated")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="vision: print the unsteered answer too")] = False,
    model: Annotated[
        str | None, typer.Option(help="a bundled model, a folder, or a Hugging Face name (default: the bundled one)")
    ] = None,
    directions: Annotated[
        Path | None, typer.Option(help="a file of directions (default: the ready-made ones of a bundled model)")
    ] = None,
    compatibility: Annotated[
        Literal["exact", "architecture", "dimension"],
        typer.Option(help="how alike the model must be to the one that the directions were found in"),
    ] = "exact",
    seconds: Annotated[float, typer.Option(help="music: duration")] = 4.0,
    tokens: Annotated[int, typer.Option(min=1, help="vision: at most this many tokens")] = 128,
    seed: Annotated[int, typer.Option(help="the same seed plays the same noise, steered or not")] = 0,
    guidance: Annotated[float, typer.Option(help="music: scale of classifier-free guidance")] = 3.0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Play a prompt, or answer it about an image, steered, and say what was really applied.

    [bold]Examples[/]

    mmsteer generate --prompt "a slow piano melody" --steer "note:C 0.1" --out c.wav

    mmsteer generate --prompt "flute" --steer "note:C 0.1 fade-out 0..4s" --steer "note:G 0.1 fade-in 0..4s" --out x.wav

    mmsteer generate --image room.png --prompt "Describe this image." --steer "grounded:yes 0.1" --compare
    """
    if out is not None:
        _check_out(out, force)
    name = model or BUNDLED + ("vision" if image else "music")
    from mmsteer.adapters import MusicgenAdapter, read_image
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.steering import Steering, parse_attribute

    hush()
    known = _directions(name, directions, compatibility) if steer else {}
    steering = Steering(tuple(parse_attribute(line, known) for line in steer or ()))
    picture = read_image(image) if image else None
    adapter: AnyAdapter = load(name, device=device, dtype=dtype)
    if not isinstance(adapter, MusicgenAdapter):
        _answer(adapter, steering, picture, prompt, tokens, compare)
    else:
        _play(adapter, steering, prompt, _audio_file(name, out, image), seconds, seed, guidance)


def _play(
    adapter: "MusicgenAdapter",
    steering: "Steering",
    prompt: str,
    out: Path,
    seconds: float,
    seed: int,
    guidance: float,
) -> None:
    from mmsteer.steering import steer
    from mmsteer.types import Sampling

    with steer(adapter, steering) as session:
        (made,) = adapter.generate([prompt], Sampling(seconds=seconds, guidance=guidance), [seed])
        receipt = session.receipt()
    _write(out, made.output, adapter.sample_rate)
    print(f"{out}: {len(made.output) / adapter.sample_rate:.2f} s\napplied: {receipt}\nheard:   {_heard(out)}")


def _answer(
    adapter: "VisionLanguageAdapter", steering: "Steering", image: object, prompt: str, tokens: int, compare: bool
) -> None:
    from mmsteer.steering import steer
    from mmsteer.types import Sample, Sampling

    sample = Sample("image", prompt, (image,) if image else ())
    if compare:
        print(f"unsteered: {adapter.generate([sample], Sampling(tokens))[0].output}")
    with steer(adapter, steering) as session:
        (made,) = adapter.generate([sample], Sampling(tokens))
        receipt = session.receipt()
    print(f"steered:   {made.output}\napplied:   {receipt}")


def _audio_file(model: str, out: Path | None, image: Path | None) -> Path:
    if out is None or image is not None:
        raise AdapterError(f"{model} makes music: give --out, the audio file to write, and no --image")
    return out


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise AdapterError(f"{out} exists; choose another name, or give --force to overwrite it")
    if out.suffix.lower() not in (".wav", ".flac"):
        raise AdapterError(f"cannot write {out.suffix or 'a file without ending'!r}; choose .wav or .flac")
    if not out.parent.is_dir():
        raise AdapterError(f"there is no folder {out.parent}; make it first")


def _directions(model: str, file: Path | None, compatibility: str) -> "dict[str, Direction]":
    from mmsteer.api import bundled_directions
    from mmsteer.direction_file import load_directions

    if file is not None:
        return load_directions(file, compatibility=compatibility)
    known = bundled_directions(model.removeprefix(BUNDLED)) if model.startswith(BUNDLED) else {}
    if not known:
        raise SteeringError(
            f"there are no ready-made directions for {model}; find some with `mmsteer probe --model {model} "
            "--out mine.safetensors` and --concept or --contrast, and give --directions mine.safetensors"
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
