"""`mmsteer generate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.files import check_out
from mmsteer.cli.options import Device, Dtype, Force
from mmsteer.errors import AdapterError, SteeringError

if TYPE_CHECKING:
    from mmsteer.steering import Steering
    from mmsteer.types import Direction, Sampling
    from mmsteer.types.tune import Tune

BUNDLED = "bundled:"
FOLLOWED = "0.08 branch conditional"
"""How a tune is followed on the bundled model; docs/music.md has what other strengths reach."""
AUTO, LEAST = "auto:hallucination", -0.5
"""What is left out of a description, object by object, and the log-odds of yes below which it is (docs/results.md)."""
LONGEST = 128
"""Tokens of an answer, unless asked otherwise."""


def generate(
    prompt: Annotated[str, typer.Option(help="what to ask, or what to play")],
    model: Annotated[
        str | None, typer.Option(help="a bundled model, a folder, or a Hugging Face name (default: the bundled one)")
    ] = None,
    steer: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME STRENGTH \\[SCHEDULE] \\[at POSITIONS] \\[on SITES]; several with ; between, or repeated; with "
            f"--image also {AUTO} \\[LOG-ODDS]: the model is asked about each object that it names"
        ),
    ] = None,
    follow: Annotated[
        str | None,
        typer.Option(
            help="music: a tune to follow, a MIDI file or such as 'C4 0.5s, E4 0.5s, A:min 1s'; with a strength and "
            "sites of your own, --steer 'tune(C4 0.5s, E4 0.5s) 0.1 on decoder.2'"
        ),
    ] = None,
    directions: Annotated[
        Path | None, typer.Option(help="a file of directions (default: the ready-made ones of a bundled model)")
    ] = None,
    compatibility: Annotated[
        Literal["exact", "architecture", "dimension"] | None,
        typer.Option(help="how alike the model must be to the one that --directions were found in (usual: exact)"),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="text: show the unsteered answer, and what changed")] = (
        False
    ),
    out: Annotated[Path | None, typer.Option(help="where to write the answer, or the audio (.wav or .flac)")] = None,
    image: Annotated[Path | None, typer.Option(help="an image that is shown to a model that sees")] = None,
    continued: Annotated[
        Path | None, typer.Option("--continue", help="music: a clip that the output begins with and continues")
    ] = None,
    melody: Annotated[Path | None, typer.Option(help="music: a clip whose melody a melody variant follows")] = None,
    system: Annotated[str | None, typer.Option(help="text: the system prompt")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="text: continue the prompt as it is, without a template")] = False,
    tokens: Annotated[int | None, typer.Option(min=1, help=f"text: at most this many tokens (usual: {LONGEST})")] = (
        None
    ),
    seconds: Annotated[
        float | None,
        typer.Option(help="music: duration, that of --continue included (usual: the tune's, or 4 beyond it)"),
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="music: scale of classifier-free guidance (usual: 3)")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 takes the likeliest token (usual for text), 1 draws (for music)")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="draw from the likeliest tokens with this probability")] = None,
    top_k: Annotated[int | None, typer.Option(help="draw from this many tokens; 0 for all")] = None,
    seed: Annotated[int | None, typer.Option(help="of what is drawn, steered or not alike (usual: 0)")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    force: Force = False,
) -> None:
    """Answer a prompt, or play it, steered, and say what was really applied.

    [bold]Examples[/]

    mmsteer generate --prompt "a slow piano melody" --steer "note:C 0.1" --out c.wav

    mmsteer generate --prompt "flute" --steer "note:C 0.1 fade-out 0..4s; note:G 0.1 fade-in 0..4s" --out x.wav

    mmsteer generate --prompt "flute" --continue intro.wav --seconds 4 --steer "note:C 0.1" --out more.wav

    mmsteer generate --prompt "medium piano, low" --follow "C4 0.5s, E4 0.5s, G4 1s, A:min 2s" --out tune.wav

    mmsteer generate --image room.png --prompt "Describe this image." --directions found.safetensors
    --steer "grounded:yes 0.1" --compare

    mmsteer generate --image room.png --prompt "Describe this image." --steer auto:hallucination

    mmsteer generate --model bundled:text --prompt "Who are you?" --directions style.safetensors
    --steer "style:pirate 0.3 on text.14" --compare
    """
    if out is not None:
        check_out(out, force, directions, image, continued, melody)
    tune = _tune(follow)
    steer, least = _auto(steer or [])
    _check_auto(least, image, compare)
    steer += [f"tune({tune}) {FOLLOWED}"] if tune else []
    _check_together(raw and system is not None)
    _check_steered(steer, {"--compare": compare, "--directions": directions, "--compatibility": compatibility})
    name = model or BUNDLED + ("vision" if image else "music")
    from mmsteer.api import load
    from mmsteer.cli.made import answer, answer_verified, chat, play, warn_of_no_effect
    from mmsteer.cli.quiet import hush
    from mmsteer.images import read_image
    from mmsteer.tasks import read_waveform
    from mmsteer.types import Sample, Sampling

    hush()
    steering = _steering(steer, _directions(name, directions, compatibility) if steer else {})
    shown = (read_image(image),) if image else ()
    sampling = Sampling(tokens, seconds, temperature, top_k, top_p, guidance)
    adapter = load(name, device=device, dtype=dtype)
    _check_drawn(sampling.filled(adapter.sampling), {"--top-p": top_p, "--top-k": top_k, "--seed": seed})
    if adapter.output_kind == "audio":
        of_text = {"--tokens": tokens, "--system": system, "--raw": raw, "--image": image, "--compare": compare}
        _refuse(of_text, f"text, and {name} makes music")
        sample = Sample("prompt", prompt, audio_prompt=read_waveform(continued), melody=read_waveform(melody))
        play(adapter, steering, sample, sampling, seed or 0, _audio_file(name, out), tune)
        if directions is None:
            warn_of_no_effect(steering)
        return
    of_music = {
        "--seconds": seconds,
        "--guidance": guidance,
        "--continue": continued,
        "--melody": melody,
        "--follow": follow,
    }
    _refuse(of_music, f"music, and {name} writes text")
    if not adapter.sees:
        _refuse({"--image": image}, f"models that see, and {name} does not")
    sample = Sample("prompt", chat(prompt, system, raw), shown)
    sampling = sampling.filled(Sampling(LONGEST))
    if least is not None:
        answer_verified(adapter, steering, sample, sampling, seed or 0, out, least)
        return
    answer(adapter, steering, sample, sampling, seed or 0, out, compare=compare)


def _auto(lines: list[str]) -> tuple[list[str], float | None]:
    """Lines of steering without the one that asks for verified descriptions, and its log-odds.

    Raises:
        SteeringError: What follows its name is no number.
    """
    parts = [part.strip() for line in lines for part in line.split(";")]
    auto = [part for part in parts if part.split()[:1] == [AUTO]]
    if not auto:
        return lines, None
    rest = [part for part in parts if part and part not in auto]
    try:
        [least] = [float(word) for word in auto[-1].split()[1:]] or [LEAST]
    except ValueError:
        raise SteeringError(
            f"cannot read {auto[-1]!r}; write {AUTO}, or {AUTO} 0, with the log-odds below which an object is denied"
        ) from None
    return rest, least


def _check_auto(least: float | None, image: Path | None, compare: bool) -> None:
    """Refuse to ask about objects where there is no image, and a comparison that is shown anyway.

    Raises:
        SteeringError: It cannot be done.
    """
    if least is None:
        return
    if image is None:
        raise SteeringError(f"{AUTO} asks about an image; give --image, or leave it out")
    if compare:
        raise SteeringError(f"{AUTO} shows what was said at first by itself; leave out --compare")


def _tune(follow: str | None) -> "Tune | None":
    from mmsteer.data.midi_file import read_tune
    from mmsteer.types.tune import Tune

    if follow is None:
        return None
    return read_tune(follow) if follow.lower().endswith((".mid", ".midi")) else Tune.parse(follow)


def _check_together(raw_system: bool) -> None:
    if raw_system:
        raise AdapterError("--raw text has no turns; put what --system says into the prompt, or leave out --raw")


def _check_steered(steer: list[str], of_steering: Mapping[str, object]) -> None:
    """Refuse options of steering where nothing is steered.

    Raises:
        SteeringError: One was given.
    """
    for option, value in of_steering.items():
        if value and not steer:
            raise SteeringError(f"{option} is about what is steered; give --steer, too, or leave it out")
    if of_steering["--compatibility"] and not of_steering["--directions"]:
        raise SteeringError("--compatibility is about a file of directions; give --directions, too, or leave it out")


def _steering(texts: list[str], known: "Mapping[str, Direction]") -> "Steering":
    from mmsteer.api import parse_steering

    steering = parse_steering(";".join(texts), known)
    if texts and not steering.attributes:
        raise SteeringError("--steer is empty; write NAME STRENGTH, such as 'note:C 0.1', or leave it out")
    return steering


def _refuse(given: Mapping[str, object], whose: str) -> None:
    """Refuse options that do not apply.

    Raises:
        AdapterError: One was given.
    """
    for option, value in given.items():
        if value is not None and value is not False:
            raise AdapterError(f"{option} is for {whose}; leave it out, or choose another --model")


def _check_drawn(sampling: "Sampling", drawn: Mapping[str, object]) -> None:
    idle = [option for option, value in drawn.items() if value is not None]
    if idle and not sampling.temperature:
        raise AdapterError(f"{idle[0]} does nothing at temperature 0, where nothing is drawn; give --temperature 1")


def _audio_file(model: str, out: Path | None) -> Path:
    if out is None:
        raise AdapterError(f"{model} makes music: give --out, the audio file to write")
    if out.suffix.lower() not in (".wav", ".flac"):
        raise AdapterError(f"cannot write {out.suffix or 'a file without ending'!r}; choose .wav or .flac")
    return out


def _directions(model: str, file: Path | None, compatibility: str | None) -> "Mapping[str, Direction]":
    from mmsteer.api import ready_made_directions
    from mmsteer.formats import load_directions

    if file is not None:
        return load_directions(file, compatibility=compatibility)
    known = ready_made_directions(model)
    if not known:
        raise SteeringError(
            f"there are no ready-made directions for {model}; find some with `mmsteer probe --model {model} "
            "--out mine.safetensors` and --data, --concept or --contrast, and give --directions mine.safetensors"
        )
    return known
