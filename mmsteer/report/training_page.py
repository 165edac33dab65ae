"""Training as a page: what grew, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from mmsteer.atomic import write_atomically
from mmsteer.json_lines import read_json_lines
from mmsteer.latents.vector_paths import BlockPaths, VectorPaths
from mmsteer.latents.vector_readings import VectorReadings
from mmsteer.latents.vector_scaling import SiteScaling
from mmsteer.latents.vector_transfer import Transfer
from mmsteer.latents.vocabulary import Ranking
from mmsteer.report.rendering import render
from mmsteer.report.svg import Axis, drawing, element, frame, line
from mmsteer.tuning.loop import LOG

WIDTH, HEIGHT = 560, 240
AGAIN_S = 5
"""After how many seconds the page of a training that goes on is loaded again."""
MEANINGS = {
    "reward": "mean reward of the outputs of a step",
    "loss": "loss of a step",
    "margin": "by how much wanted outputs gain on the others, times beta",
    "charge": "what a gated vector finds beyond its tokens",
    "kl": "estimated divergence from the unsteered model, nats a token",
    "weight": "what a nat of it costs, in reward a token",
    "entropy": "minus the mean log-probability of what was drawn, nats a token",
    "tokens": "tokens an output",
    "spread": "standard deviation of the rewards of a step",
    "unscored": "outputs of a step that the reward has no value for",
    "gradient": "norm of the gradient before it is clipped",
    "length": "sum of the vectors' norms",
}
"""What can be logged of a step."""

_STYLE = """svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .rule{stroke:currentColor;opacity:.15}
svg .curve{fill:none;stroke:#06c;stroke-width:1.5}"""


def training_page(
    name: str,
    use: str,
    log: Sequence[Mapping[str, float]],
    found: VectorReadings | None = None,
    paths: VectorPaths | None = None,
    scaling: Sequence[SiteScaling] = (),
    moved: Transfer | None = None,
) -> str:
    """The page; it needs nothing but itself.

    Args:
        name: Of the direction.
        use: A line that steers along it.
        log: The numbers of every step.
        found: What the vectors do; None while they are trained, when the page loads itself again and again.
        paths: Where their effect runs.
        scaling: Of vectors that scale themselves, where they are strong.
        moved: What they do in a sibling of the model.
    """
    curves = [(MEANINGS[key], _curve(key, log)) for key in MEANINGS if key in log[0]]
    readings = [(str(one.site), _tops(one.lens), _tops(one.raised)) for one in found.vectors] if found else []
    blocks = paths.blocks if paths else ()
    points = list(dict.fromkeys(point for block in blocks for point in block.parts))
    return render(
        "training.html.j2",
        name=name,
        use=use,
        steps=len(log),
        curves=curves,
        readings=readings,
        again=AGAIN_S,
        additivity=_additivity(found) if found else "",
        straight=f"{paths.straight:.2f}" if paths else "",
        points=points,
        paths=[_path_row(block, points) for block in blocks],
        scaling=[_scaling(one) for one in scaling],
        moved=[("its model", *map(str, moved.own)), ("sibling", *map(str, moved.sibling))] if moved else [],
    )


@dataclass(frozen=True)
class LivePage:
    """A tracker that writes the page again after every step.

    Attributes:
        folder: Of the training, with the numbers of its steps.
        name: Of the direction.
        use: A line that steers along it.
    """

    folder: Path
    name: str
    use: str

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.log`; steps before a stop are there as well, from the folder."""
        del step, values
        steps = [numbers for _, numbers in read_json_lines(self.folder / LOG)]
        write_atomically(self.folder / "index.html", training_page(self.name, self.use, steps).encode())

    def close(self) -> None:
        """See `Tracker.close`."""


def _path_row(block: BlockPaths, points: Sequence[str]) -> tuple[str, ...]:
    parts = (f"{block.parts[point]:.2f}" if point in block.parts else "" for point in points)
    return (str(block.layer), f"{block.whole:.2f}", *parts)


def _scaling(one: SiteScaling) -> str:
    return (
        f"{one.site}: the strongest tokens of an output and its prompt hold {one.held:.2f} of the strength "
        f"({one.even:.2f} if all were alike), the first token {one.first:.2f}, the output {one.outputs:.2f}, which is "
        f"{one.output_tokens:.2f} of the tokens. Strongest: "
        + ", ".join(f"{name!r} {value:.2f}" for name, value in one.strongest)
    )


def _tops(heads: Sequence[Ranking]) -> str:
    """The first tokens of each head, in quotes, as some are blank."""
    return " | ".join(", ".join(repr(one.name) for one in head.top) for head in heads)


def _additivity(found: VectorReadings) -> str:
    if len(found.vectors) == 1:
        return ""
    return (
        f" All together move these logits {found.ratio:.2f} times as far as the sum of what each moves alone, at a "
        f"cosine of {found.cosine:.2f} with it."
    )


def _curve(key: str, log: Sequence[Mapping[str, float]]) -> Markup:
    values = [step[key] for step in log]
    low, high = min(0.0, *values), max(0.0, *values)
    x = Axis(0.0, float(max(1, len(log) - 1)), 44, WIDTH - 16)
    y = Axis(low, high if high > low else low + 1.0, HEIGHT - 48, 28)
    points = [(float(at), value) for at, value in enumerate(values)]
    parts = [element("style", text=_STYLE), *frame(x, y, ("step", key)), line(x, y, points, "curve")]
    return drawing(WIDTH, HEIGHT, f"{key} over {len(log)} steps", parts, "chart")
