"""A run folder in the documented format, made up: two probes, a sweep, schedules, a cross-fade, hostile texts."""

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from mmsteer.direction_file import save_directions
from mmsteer.types import Direction, Site, SiteStats, mean_score, paired_score

NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
HOP_S, FRAMES, RATE = 0.032, 125, 8000
HOSTILE = "</p><script>alert('x')</script> & \"quotes\""
REACH = {0.05: 0.1, 0.1: 0.22, 0.15: 0.9}


def make_run(folder: Path, prompts: int = 6, notes: tuple[str, ...] = ("C", "E", "A"), *, audio: bool = True) -> Path:
    """Write the folder; the truth is planted, so that a page can be compared with it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    conditions = _conditions(notes)
    texts = ["a slow piano melody, low register", HOSTILE, *(f"flute music number {i}" for i in range(prompts - 2))]
    listed = [{"index": i, "id": str(i), "prompt": text, "seed": 100 + i} for i, text in enumerate(texts)]
    samples = [_sample(rng, one, prompt) for one in conditions for prompt in listed]
    if audio:
        _write_audio(folder, samples)
    write(folder, "run.json", {"id": "1a2b3c4d5e", "name": "example", "finished": True})
    recipe = {"kind": "music", "about": f"Twelve notes? {HOSTILE}", "evaluate": ["notes"]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    write(folder, "environment.json", _environment())
    write(folder, "conditions.json", conditions)
    write(folder, "examples.json", listed)
    (folder / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    receipts = {one["name"]: _receipt(one) for one in conditions}
    write(folder, "receipts.json", receipts)
    write(folder, "doses.json", {one["name"]: {"factor": None, "kl": 0.1} for one in conditions})
    write(folder, "scores.json", _scores(conditions, samples, receipts))
    write(folder, "traces.json", {one["name"]: _traces(rng, one) for one in conditions if one["kind"] == "steered"})
    write(folder, "probe.json", [_probe(family) for family in ("note", "note-rfm")])
    directions = [_direction(f"{family}:{note}") for family in ("note", "note-rfm") for note in notes]
    save_directions(folder / "directions.safetensors", directions, overwrite=True)
    return folder


def write(folder: Path, name: str, value) -> None:
    (folder / name).write_text(json.dumps(value, allow_nan=False))


def edit(folder: Path, name: str, change) -> None:
    """Change a JSON file of a folder."""
    value = json.loads((folder / name).read_text())
    write(folder, name, change(value) or value)


def _conditions(notes) -> list[dict]:
    made = [_condition("unsteered", "unsteered", "unsteered")]
    for family in ("note", "note-rfm"):
        for strength in REACH:
            for note in notes:
                name, values = (
                    f"{family} {note} at {strength}",
                    {"directions": family, "strength": strength, "note": note},
                )
                steering = [f"{family}:{note} {strength}"]
                made.append(
                    _condition(
                        name, "steered", f"{len(made):03d}", values, steering, {"note": note}, [f"random {strength}"]
                    )
                )
    for curve in ("linear(0s..4s)", "sine(4s)"):
        made.append(_condition(f"C, {curve}", "steered", f"{len(made):03d}", {"curve": curve}, [f"note:C 0.1 {curve}"]))
    fades = ["note:C 0.1 fade-out 0..4s", "note:G 0.1 fade-in 0..4s"]
    made.append(_condition("C to G", "steered", f"{len(made):03d}", {}, fades))
    return made + [
        _condition(f"random {s}", "random", f"random-{i}", {}, [f"random:1 {s}"]) for i, s in enumerate(REACH)
    ]


def _condition(name, kind, folder, values=None, steering=(), target=None, controls=()) -> dict:
    return {
        "name": name,
        "kind": kind,
        "folder": folder,
        "values": values or {},
        "steering": list(steering),
        "target": target or {},
        "controls": list(controls),
    }


def _sample(rng, condition, prompt) -> dict:
    classes = np.repeat(rng.integers(0, 12, 25), 5)
    for place, line in enumerate(condition["steering"]):
        label = line.split()[0].split(":")[1]
        if label in NOTES:
            reach = REACH.get(condition["values"].get("strength"), 0.5)
            hit = rng.random(FRAMES) < reach * _curve(line, np.arange(FRAMES) / FRAMES)
            classes[np.flatnonzero(hit & ((place == 0) | (np.arange(FRAMES) > 60)))] = NOTES.index(label)
    classes[:3] = -1
    voiced = classes[classes >= 0]
    share = {name: round(float((voiced == i).mean()), 6) for i, name in enumerate(NOTES)}
    notes = {"main_note": max(share, key=share.get), "voiced": len(voiced) / FRAMES, "share": share}
    notes["trace"] = {"hop_s": HOP_S, "classes": classes.tolist()}
    kept = bool(rng.random() < 0.95 - 0.3 * condition["values"].get("strength", 0.0))
    return {
        "condition": condition["name"],
        "example": prompt["index"],
        "target": condition["target"],
        "audio": f"audio/{condition['folder']}/{prompt['index']:02d}.flac",
        "readings": {"notes": notes, "tempo": {"bpm": 80.0, "tempo": "slow"}},
        "adherence": {"tempo": float(kept)},
    }


def _curve(line: str, at: np.ndarray) -> np.ndarray:
    """The schedule of a line over the fraction of the clip."""
    if "linear" in line or "fade-in" in line:
        return at
    if "fade-out" in line:
        return 1 - at
    return 0.5 - 0.5 * np.cos(2 * np.pi * at) if "sine" in line else np.ones_like(at)


def _write_audio(folder: Path, samples) -> None:
    for one in samples:
        path = folder / one["audio"]
        path.parent.mkdir(parents=True, exist_ok=True)
        classes = np.repeat(one["readings"]["notes"]["trace"]["classes"], int(HOP_S * RATE))
        phase = np.cumsum(2 * np.pi * 261.63 * 2 ** (classes / 12) / RATE)
        soundfile.write(path, 0.3 * np.sin(phase) * (classes >= 0), RATE, format="FLAC")


def _scores(conditions, samples, receipts) -> dict:
    clips: dict[str, list] = {}
    for one in samples:
        clips.setdefault(one["condition"], []).append(one)
    rows = [_row([one], clips, receipts) for one in conditions if one["kind"] == "steered"]
    groups: dict[tuple, list] = {}
    for one in conditions:
        if one["target"]:
            groups.setdefault((one["values"]["directions"], one["values"]["strength"]), []).append(one)
    return {"rows": rows, "summaries": [_row(group, clips, receipts) for group in groups.values()]}


def _row(members, clips, receipts) -> dict:
    values = {k: v for k, v in members[0]["values"].items() if all(one["values"][k] == v for one in members)}
    name = (
        members[0]["name"] if len(members) == 1 else f"{len(members)} targets, " + ", ".join(map(str, values.values()))
    )
    metrics = {}
    for metric in ("note.hit", "note.share", "adherence", "voiced"):
        if metric.startswith("note") and not members[0]["target"]:
            continue
        steered = _values(metric, members, [clips[one["name"]] for one in members])
        before = _values(metric, members, [clips["unsteered"] for _ in members])
        random = [clips[one["controls"][0]] for one in members if one["controls"]]
        drawn = _values(metric, members, random) if random else None
        metrics[metric] = {
            "steered": mean_score(steered).to_json(),
            "unsteered": mean_score(before).to_json(),
            "difference": paired_score(steered, before).to_json(),
            "random": mean_score(drawn).to_json() if drawn else None,
            "random_difference": paired_score(drawn, before).to_json() if drawn else None,
            "chance": 1 / 12 if metric.startswith("note") else None,
        }
    return {
        "condition": name,
        "conditions": [one["name"] for one in members],
        "values": values,
        "target": members[0]["target"] if len(members) == 1 else None,
        "kl": receipts[members[0]["name"]]["kl"],
        "ratio": 0.05,
        "metrics": metrics,
    }


def _values(metric, members, rounds) -> list[float | None]:
    return [
        _value(metric, clip, one["target"].get("note"))
        for one, clips in zip(members, rounds, strict=True)
        for clip in clips
    ]


def _value(metric, clip, note) -> float | None:
    notes = clip["readings"]["notes"]
    if metric == "note.hit":
        return float(notes["main_note"] == note)
    if metric == "note.share":
        return notes["share"][note]
    return notes["voiced"] if metric == "voiced" else clip["adherence"]["tempo"]


def _receipt(condition) -> dict:
    strength = condition["values"].get("strength", 0.1)
    site = {"ratio": strength, "peak": 2 * strength, "moments": 9}
    sites = {f"decoder.{i}": site for i in range(6)}
    line = next(iter(condition["steering"]), "")
    return {
        "attributes": condition["steering"],
        "calls": 2,
        "rows": 24,
        "steps": 400,
        "tokens": 4824,
        "ratio": strength if condition["steering"] else None,
        "low": 0.8 * strength if condition["steering"] else None,
        "median": strength if condition["steering"] else None,
        "high": 1.5 * strength if condition["steering"] else None,
        "sampled": "when" in line,
        "sites": sites if condition["steering"] else {},
        "gates": {"decoder.0": {"asked": 4824, "passed": 1206}} if condition["steering"] else {},
        "totals": [{"attribute": line, "sites": 6, "last": "decoder.5", "ratio": 4 * strength}] if line else [],
        "warnings": ["half of the steered tokens were moved by more than 50% of their norm"] if strength > 0.12 else [],
        "kl": 8 * strength**2 if condition["kind"] == "steered" else None,
    }


def _traces(rng, condition) -> dict:
    attributes = [_traced(rng, line) for line in condition["steering"]]
    crossing = {"scheduled_s": 2.0, "played_s": 2.13} if len(attributes) == 2 else None
    return {"attributes": attributes, "crossing": crossing}


def _traced(rng, line) -> dict:
    times, frames = np.arange(200) / 50, np.arange(FRAMES) * HOP_S
    strength = 0.1 * _curve(line, times / 4)
    share = np.clip(0.9 * _curve(line, frames / 4) + rng.normal(0, 0.06, FRAMES), 0, 1)
    windows = np.arange(8) * 0.5 + 0.25
    played = [float(share[(frames >= at - 0.25) & (frames < at + 0.25)].mean()) for at in windows]
    varies = np.ptp(strength) > 0
    return {
        "direction": line.split()[0],
        "label": line.split()[0].split(":")[1],
        "schedule": {"times_s": times.tolist(), "strength": strength.tolist()},
        "played": {
            "times_s": frames.tolist(),
            "share": [None, None, *share[2:].tolist()],
            "unsteered": np.clip(rng.normal(0.08, 0.03, FRAMES), 0, 1).tolist(),
        },
        "following": {
            "pearson": 0.97 if varies else None,
            "spearman": 0.98 if varies else None,
            "lag_s": -0.5 if varies else None,
            "windows": 8,
            "times_s": windows.tolist(),
            "strength": (0.1 * _curve(line, windows / 4)).tolist(),
            "played": played,
        },
    }


def _probe(family) -> dict:
    labels = {note: 0.6 + 0.03 * i for i, note in enumerate(NOTES)}
    rows = [{"site": f"decoder.{i}", "score": 0.3 + 0.1 * i, "labels": labels} for i in range(6)]
    rows[2] = {"site": "decoder.2", "score": None, "labels": dict.fromkeys(NOTES)}
    return {"family": family, "probe": "mean_difference", "metric": "accuracy", "labels": NOTES, "rows": rows}


def _direction(name) -> Direction:
    site = Site("decoder", 0)
    provenance = {"probe": "mean_difference", "data": "af8b8d8363", "positions": "all", "settings": "x" * 500}
    return Direction(
        name, {site: torch.tensor([0.0, 1.0])}, {site: SiteStats(0.9, 0.0, 1.0, 3.0)}, "94a42ca7", provenance
    )


def _environment() -> dict:
    return {
        "id": "1a2b3c4d5e",
        "mmsteer": "0.1.0",
        "code": "8567e5cde6d073ae",
        "python": "3.11.7",
        "platform": "Linux x86_64",
        "packages": {"torch": "2.11.0", "transformers": "5.23.0"},
        "model": {"name": "bundled:music", "fingerprint": "94a42ca7cad40096"},
        "directions": {},
    }
