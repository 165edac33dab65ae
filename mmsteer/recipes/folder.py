r"""A run on disk: plain JSON and audio, whole at every moment, and resumable.

    runs/<name>-<id>/
      recipe.yaml             the resolved recipe
      run.json                {"id", "name", "finished": true|false}: whose folder this is
      environment.json        {"id", "mmsteer", "code", "python", "platform", "packages": {name: version},
                               "model": {"name", "fingerprint"}, "directions": {file: sha256}, "files": {file: sha256}}
      conditions.json         [{"name", "kind": "steered"|"unsteered"|"random"|"shuffled"|"wrong_image", "folder",
                               "values": {variable: value}, "steering": [line], "target": {attribute: label},
                               "decode": {} or {"vcd"|"icd"|"text_only": {...}}, "controls": [name]}]
      examples.json           [{"index", "id", "prompt", "answer", "options", "images": [file], "objects": [class]
                               | null, "seed"}]
      metrics.json            [{"name", "meaning", "better", "unit", ...}] of the metrics of `score`
      images/<nnnnn>-<n>.png  what rows show
      directions.safetensors  every direction used, found or read
      shuffled.safetensors, wrong_image.safetensors: those of these controls, under the names of what they stand for
      probe.json              [{"family", "probe", "metric", "labels": [..], "rows": [{"site", "score",
                               "labels": {label: score}}]}]; [] where all directions came from files
      chunks.jsonl            one line a finished batch: {"condition", "chunk", "receipt": {...}}, and of text
                               "outputs": [{"text", ...}], of images that are asked about [{"caption",
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
                              "values", "target", "decode", "kl", "ratio", "metrics": {metric: M}}, with answers also
                              "flips": {split: {"tp->fn": n}}, from the unsteered run; M is {"steered": S,
                              "unsteered": S|null, "difference": S|null, "chance": number|null}, and for each kind of
                              control its S, "KIND_difference" and "against_KIND"; S is {"value", "low", "high", "n",
                              "unscored"}. Differences are paired: the same examples and seeds. A summary pools the
                              conditions that differ in their target alone; its target is null.
      traces.json             {condition: {"attributes": [{"direction", "label", "steps", "strength"}]}}; with targets
                              {"attributes": [A], "crossing": C | null}
      validation/             where the recipe chooses: the same files for the conditions that were tried
      choice.json             [{"condition", "goal", "value", "within_bounds", "broken": [reason], "tried", "allowed"}];
                              only these conditions are in the files above

An A of the traces is {"direction", "label", "schedule": {"times_s", "strength"}, "played": P | null, "following": F |
null}. P is {"times_s", "share", "unsteered"}: for each moment the share of the voiced clips that play the note, null
where no clip is voiced. F is {"pearson", "spearman", "lag_s", "windows", "times_s", "strength", "played"}, which
compares windows of 0.5 s. C is {"scheduled_s", "played_s"|null}: when the second of two notes overtakes the first.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsteer.atomic import write_atomically
from mmsteer.errors import RecipeError

RUN, SAMPLES, CHUNKS = "run.json", "samples.jsonl", "chunks.jsonl"


class RunFolder:
    """The folder of one run.

    Attributes:
        path: Where it is.
        id: Which run it holds.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self.id = run_id

    @classmethod
    def open(cls, path: Path, run_id: str, name: str) -> "RunFolder":
        """Make the folder, or go on with the run that it holds.

        Raises:
            RecipeError: The folder holds something else, or cannot be written.
        """
        folder = cls(path, run_id)
        if path.exists() and not path.is_dir():
            raise RecipeError(f"{path} is a file; give --out a folder that is new or empty")
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder._claim(name)
        except OSError as cause:
            raise RecipeError(f"{path} cannot be written: {cause.strerror}; choose another folder with --out") from None
        for log in (SAMPLES, CHUNKS):
            folder._mend(log)
        return folder

    def part(self, name: str) -> "RunFolder":
        """A folder inside, with files of the same names."""
        (self.path / name).mkdir(exist_ok=True)
        inside = RunFolder(self.path / name, self.id)
        for log in (SAMPLES, CHUNKS):
            inside._mend(log)
        return inside

    @property
    def finished(self) -> bool:
        """Whether all of the run is there."""
        return bool(self.read(RUN)["finished"])

    def finish(self) -> None:
        """Say that all of the run is there."""
        self.write(RUN, self.read(RUN) | {"finished": True})

    def read(self, name: str) -> Any:
        """The content of a JSON file.

        Args:
            name: Its name in the folder.

        Raises:
            RecipeError: It is missing or no JSON.
        """
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError) as cause:
            raise RecipeError(
                f"{self.path / name} cannot be read ({cause}); move the folder away and run again"
            ) from None

    def has(self, name: str) -> bool:
        """Whether a file is there.

        Args:
            name: Its name in the folder.
        """
        return (self.path / name).is_file()

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file, all or nothing.

        Args:
            name: Its name in the folder.
            value: Plain data.
        """
        self.write_bytes(name, (json.dumps(value, allow_nan=False, indent=1) + "\n").encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file, all or nothing.

        Args:
            name: Its name in the folder.
            data: Its content.

        Raises:
            RecipeError: The disk refuses.
        """
        try:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / name, data)
        except OSError as cause:
            raise RecipeError(
                f"{self.path / name} cannot be written: {cause.strerror}; what is finished is kept"
            ) from None

    def append(self, log: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to a log; a crash leaves at most a part of one line, which `open` takes off again.

        Raises:
            RecipeError: The disk refuses.
        """
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        try:
            with (self.path / log).open("ab") as file:
                file.write(text.encode())
                file.flush()
        except OSError as cause:
            raise RecipeError(
                f"{self.path / log} cannot be written: {cause.strerror}; what is finished is kept"
            ) from None

    def lines(self, log: str) -> list[dict[str, Any]]:
        """The lines of a log.

        Raises:
            RecipeError: A line is damaged.
        """
        if not self.has(log):
            return []
        lines = []
        for number, text in enumerate((self.path / log).read_bytes().splitlines(), start=1):
            try:
                lines.append(json.loads(text))
            except ValueError:
                raise RecipeError(f"{self.path / log}:{number} is damaged; delete this line and run again") from None
        return lines

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder.

        Raises:
            RecipeError: Another process runs here.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecipeError(f"another process is running in {self.path}; wait for it, or choose --out") from None
            yield

    def _claim(self, name: str) -> None:
        if self.has(RUN):
            other = self.read(RUN)
            if other["id"] != self.id:
                raise RecipeError(
                    f"{self.path} holds another run ({other['name']}-{other['id']}, this is {name}-{self.id}: the "
                    "recipe, the model, a direction file or mmsteer itself has changed); choose another --out"
                )
        elif any(self.path.iterdir()):
            raise RecipeError(f"{self.path} is not empty and holds no run; give --out a folder that is new or empty")
        else:
            self.write(RUN, {"id": self.id, "name": name, "finished": False})

    def _mend(self, log: str) -> None:
        """Take off the part of a line that a crash left."""
        if not self.has(log):
            return
        data = (self.path / log).read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            self.write_bytes(log, whole)
