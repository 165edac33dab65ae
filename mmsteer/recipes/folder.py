r"""A run on disk: plain JSON and audio, whole at every moment, and resumable.

    runs/<name>-<id>/
      recipe.yaml             the resolved recipe
      run.json                {"id", "name", "finished": true|false}: whose folder this is
      environment.json        {"id", "mmsteer", "code", "python", "platform", "packages": {name: version},
                               "model": {"name", "fingerprint"}, "directions": {file: sha256}, "files": {file: sha256}}
      conditions.json         [{"name", "kind": "steered"|"unsteered"|"random"|"searched"|"shuffled"|"wrong_image",
                               "folder", "values": {variable: value}, "steering": [line], "target": {attribute: label},
                               "decode": {} or {"vcd"|"icd"|"text_only": {...}}, "per_image": null|"own"|"next",
                               "controls": [name]}]
      examples.json           [{"index", "id", "prompt", "answer", "options", "images": [file], "objects": [class]
                               | null, "seed"}]
      metrics.json            [{"name", "meaning", "better", "unit", ...}] of the metrics of `score`
      images/<nnnnn>-<n>.png  what rows show
      directions.safetensors  every direction used, found or read
      shuffled.safetensors, wrong_image.safetensors: those of these controls, under the names of what they stand for
      probe.json              [{"family", "probe", "metric", "labels": [..], "rows": [{"site", "score",
                               "labels": {label: score}}]}]; [] where all directions came from files
      digests.txt             what each of these files, and each line of the logs, must be: `mmsteer.folders.digests`.
                              What is missing or differs is made again
      chunks.jsonl            one line a finished batch: {"condition", "chunk", "files": [name], "receipt": {...}}, and
                               of text "outputs": [{"text", ...}], of images that are asked about [{"caption",
                               "answers": [text] | null, "logits": [[odds, mass]] | null}]
      samples.jsonl           one line a finished output: {"condition", "example": index, "id", ...} and
                               of rows "seed", "scores": {metric: [above, below]}, and "text", or "audio" and
                               "readings": {evaluator: {...}}; with targets "target", "adherence":
                               {attribute: 1.0|0.0|null} | null; of images "caption": text | null, "mentions":
                               [{"object", "words", "start", "stop", "hallucinated"}], "missed": [class], "answers":
                               null | [{"question", "label", "splits", "answer", "logit", "mass": P(yes) + P(no),
                               "outcome": "tp"|"fp"|"tn"|"fn"|"unparsed"}];
                               of AMBER's also the counts "covered", "tempted" and "tempting" (objects)
      audio/<folder>/<nnnnn>.flac  16 bit
      receipts.json           {condition: {"attributes", "calls", "rows", "steps", "tokens", R, "sampled", "sites":
                               {site: {R, "peak", "moments", "sampled"}}, "gates": {site: {"asked", "passed"}},
                               "totals": [{"attribute", "sites": n, "last": site, "ratio"}], "warnings": [text],
                               "kl"}}; R is "ratio", "low", "median", "high": of the norm of the change over the norm
                               of the state, over steered tokens, the mean and the 5, 50 and 95 % quantiles
      doses.json              {condition: {"factor", "kl"}}; the factor that calibration found, and the mean divergence
                              a token from the unsteered next-token distribution, along unsteered outputs, in nats
      scores.json             {"rows": [row], "summaries": [row]}; a row is {"condition", "conditions": [name],
                              "values", "target", "decode", "per_image", "kl", "ratio", "metrics": {metric: M}}, with
                              answers also "flips": {split: {"tp->fn": n}}, from the unsteered run; M is {"steered": S,
                              "unsteered": S|null, "difference": S|null, "chance": number|null}, and for each kind of
                              control its S, "KIND_difference" and "against_KIND"; S is {"value", "low", "high", "n",
                              "unscored"}, without an interval (null) where there is one prompt, image or group alone.
                              Differences are paired: the same examples and seeds, and of these the ones that are scored
                              on both sides; n counts these. A control of several draws is the mean of the draws; n is
                              that of the draw with the fewest scored. A summary pools the conditions that differ in
                              their target alone; its target is null.
      traces.json             {condition: {"attributes": [{"direction", "label", "steps", "strength"}], "words":
                              {example: [ratio]}}}: of some texts the R that each word was chosen at; with targets
                              {"attributes": [A], "crossing": C | null}
      attributions.json       of the first outputs that the report shows, where the recipe attributes: {condition:
                              {example: {"units", "kind", "technique", "words": text|null, "names": [unit], "values":
                              [nats], "whole", "nothing", "rate": tokens a second|null}}}, or of an output without such
                              units {"refused": reason}
      validation/             where the recipe chooses: the same files for the conditions that were tried
      searched/               where controls are chosen, too: the same for random directions at all of these conditions
      choice.json             [{"condition", "goal", "value", "within_bounds", "broken": [reason], "tried", "allowed"}];
                              only these conditions are in the files above

An A of the traces is {"direction", "label", "schedule": {"times_s", "strength"}, "played": P | null, "following": F |
null}. P is {"times_s", "share", "unsteered"}: for each moment the share of the voiced clips that play the note, null
where no clip is voiced. F is {"pearson", "spearman", "lag_s", "windows", "times_s", "strength", "played"}, which
compares windows of 0.5 s. C is {"scheduled_s", "played_s"|null}: when the second of two notes overtakes the first.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mmsteer.atomic import write_atomically
from mmsteer.errors import RecipeError, clip
from mmsteer.folders import DIGESTS, LOCK, Digests, KeptLines, holds_others, locked, make_folder, say
from mmsteer.json_lines import read_json

RUN, SAMPLES, CHUNKS = "run.json", "samples.jsonl", "chunks.jsonl"


class RunFolder:
    """The folder of one run.

    `id`: which run it holds.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self.id = run_id
        self._digests = Digests(path, RecipeError)

    @classmethod
    def open(cls, path: Path, run_id: str, name: str) -> "RunFolder":
        """Make the folder, or go on with the run that it holds.

        Raises:
            RecipeError: The folder holds something else, or cannot be written.
        """
        try:
            make_folder(path, RecipeError)
            folder = cls(path, run_id)
            folder._claim(name)
        except OSError as cause:
            raise RecipeError(f"{path} cannot be written: {cause.strerror}; choose another folder with --out") from None
        return folder

    def part(self, name: str) -> "RunFolder":
        """A folder inside, with files of the same names."""
        (self.path / name).mkdir(exist_ok=True)
        inside = RunFolder(self.path / name, self.id)
        inside._mend()
        return inside

    @property
    def whole(self) -> bool:
        """Whether it was closed, and everything is there as it was written."""
        return self._digests.closed and not self._digests.damaged()

    @property
    def finished(self) -> bool:
        """Whether all of the run is there, as it was written."""
        if not self._state()["finished"]:
            return False
        damaged = self._digests.damaged() if self._digests.closed else [DIGESTS]
        if damaged:
            say(f"{self.path}: damaged, and made again: {', '.join(damaged[:5])} ({len(damaged)} in all)")
        return not damaged

    def finish(self, *parts: str) -> None:
        """Say that all of the run is there.

        `parts`: names of folders inside.
        """
        for name in (SAMPLES, CHUNKS, *(f"{part}/{DIGESTS}" for part in parts)):
            self.seal(name)
        self.close()
        self.write(RUN, self._state() | {"finished": True})

    def close(self) -> None:
        """Say that all of a folder inside is there."""
        self._digests.close()

    def seal(self, name: str) -> None:
        """Keep the digest of a file that something else has written."""
        if (self.path / name).is_file():
            self._digests.add(name, [(self.path / name).read_bytes()])

    def read(self, name: str) -> Any:
        """The content of a JSON file.

        Raises:
            RecipeError: It is missing or no JSON.
        """
        try:
            return read_json(self.path / name, RecipeError)
        except RecipeError as cause:
            raise RecipeError(f"{cause}; move the folder away and run again") from None

    def has(self, *names: str) -> bool:
        """Whether files are there, as they were written."""
        return all(map(self._digests.fits, names))

    def written(self, suffix: str) -> list[str]:
        """The files that were ever written, whether they are still there or not.

        `suffix`: what their names end with.
        """
        return [name for name in self._digests.files if name.endswith(suffix)]

    def write(self, name: str, value: Any, *, once: bool = False) -> None:
        """Write a JSON file, all or nothing.

        `value`: plain data.
        `once`: see `write_bytes`.
        """
        self.write_bytes(name, _json(value), once=once)

    def write_bytes(self, name: str, data: bytes, *, once: bool = False) -> None:
        """Write a file, all or nothing.

        `data`: its content.
        `once`: leave it as it is where it is there as it was written.

        Raises:
            RecipeError: The disk refuses.
        """
        if once and self.has(name):
            return
        try:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            if name != RUN:
                self._digests.add(name, [data])
            write_atomically(self.path / name, data)
        except OSError as cause:
            raise RecipeError(
                f"{self.path / name} cannot be written: {cause.strerror}; what is finished is kept"
            ) from None

    def append(self, log: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to a log; a crash leaves at most a part of them, which `locked` takes off again.

        Raises:
            RecipeError: The disk refuses.
        """
        self._log(log).append(lines)

    def lines(self, log: str) -> list[dict[str, Any]]:
        """The lines of a log, each once, but for those that are damaged.

        `log`: `SAMPLES` or `CHUNKS`.
        """
        return self._log(log).read()

    def keep(self, log: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Leave only some lines in a log.

        `log`: `SAMPLES` or `CHUNKS`.
        `lines`: those that stay.
        """
        self._log(log).keep(lines)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder, and take away what crashes or damage have left of its logs.

        Raises:
            RecipeError: Another process runs here, or the folder cannot be written.
        """
        with ExitStack() as stack:
            if self._lock(stack):
                # As they are now that nobody else writes them.
                self._digests = Digests(self.path, RecipeError)
                self._mend()
            yield

    def _lock(self, stack: ExitStack) -> bool:
        """Whether the folder is locked; it is not where nothing can be written, and nothing need be.

        Raises:
            RecipeError: Another process runs here, or the lock of an unfinished run cannot be written.
        """
        try:
            stack.enter_context(locked(self.path, RecipeError))
        except OSError as cause:
            if self.finished:
                return False
            raise RecipeError(f"{self.path / LOCK} cannot be written: {cause.strerror}; choose another --out") from None
        return True

    def _state(self) -> dict[str, Any]:
        state = self.read(RUN)
        kinds = {"id": str, "name": str, "finished": bool}
        if not isinstance(state, dict) or any(not isinstance(state.get(key), kind) for key, kind in kinds.items()):
            raise RecipeError(f"{self.path / RUN} is damaged; move the folder away and run again")
        return state

    def _claim(self, name: str) -> None:
        if (self.path / RUN).is_file():
            other = self._state()
            if other["id"] != self.id:
                raise RecipeError(
                    f"{self.path} holds another run ({clip(other['name'])}-{clip(other['id'])}, this is {name}-"
                    f"{self.id}: the recipe, the model, a direction, a library or mmsteer itself has changed); choose "
                    "another --out"
                )
            mine = {"id": self.id, "name": name, "finished": other["finished"]}
            if (self.path / RUN).read_bytes() != _json(mine):
                say(f"{self.path / RUN}: damaged, and made again")
                self.write(RUN, mine)
        elif holds_others(self.path, RUN):
            raise RecipeError(f"{self.path} is not empty and holds no run; give --out a folder that is new or empty")
        else:
            self.write(RUN, {"id": self.id, "name": name, "finished": False})

    def _mend(self) -> None:
        """Take away lines that a crash has cut, that are damaged, or that are there twice."""
        for log in (SAMPLES, CHUNKS):
            self._log(log).mend()

    def _log(self, name: str) -> KeptLines:
        return KeptLines(self._digests, name)


def _json(value: Any) -> bytes:
    return (json.dumps(value, allow_nan=False, indent=1) + "\n").encode()
