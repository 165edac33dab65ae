"""What is located in each family: a table for docs/families.md, from the small random models of the tests.

Usage: python -m benchmarks.sites [FAMILY ...]

Text and tower: the points that their blocks have (docs/steering.md), and in how many layers where not in all. Image
positions: what `image` selects in the text stack. Projector: what of the model it is, and whether its states are a row
an image or tile, one row for all of them, or (with two images) both.
"""

import sys
import tempfile
import warnings
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import transformers
from PIL import Image

from mmsteer import hooks
from mmsteer.adapters import load
from mmsteer.types import Kind, Layout, Sample, Site
from tests.adapters.checkpoints import FAMILIES, save

POINTS = ("embedding", "head", "attention", "cross_attention", "mid", "mlp_input", "mlp", "block")
PICTURE = Image.linear_gradient("L").resize((24, 24)).convert("RGB")


def main(families: list[str]) -> None:
    """Print the table.

    Args:
        families: Names of families of the tests; all for none.
    """
    print("| family | text blocks | heads | image positions | tower | class token | projector |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in families or FAMILIES:
            print("| " + " | ".join((name, *cells(load(save(name, Path(folder) / name))))) + " |", flush=True)


def cells(adapter: Any) -> tuple[str, ...]:
    """What is located in one model, in the order of the columns.

    Args:
        adapter: Its adapter.
    """
    heads = points(adapter, "text").get("head", 0)
    text = (described(adapter, "text"), f"{heads} of {layers(adapter, 'text')} layers" if heads else "none")
    if not adapter.sees:
        return (*text, "", "", "", "")
    seen = layouts(adapter)
    tower = (described(adapter, "vision"), class_token(seen["vision"])) if "vision" in seen else ("no blocks", "none")
    return (*text, image_positions(adapter, seen["text"]), *tower, projector(adapter, seen))


def class_token(layout: Layout) -> str:
    """Where the tower puts the token for the whole image.

    Args:
        layout: Of the tower.
    """
    first = [place for place, kind in enumerate(layout.kinds[0].tolist()) if kind & Kind.FIRST]
    return "none" if not first else "first" if first[0] == 0 else "last"


def layers(adapter: Any, stack: str) -> int:
    """How many blocks a stack has.

    Args:
        adapter: The adapter.
        stack: Its name.
    """
    return sum(site.stack == stack for site in adapter.sites)


def points(adapter: Any, stack: str) -> Counter[str]:
    """In how many layers of a stack each point is located.

    Args:
        adapter: The adapter.
        stack: Its name.
    """
    return Counter(point for _, point in {(site.layer, site.point) for site in adapter.widths if site.stack == stack})


def described(adapter: Any, stack: str) -> str:
    """The points of a stack in words.

    Args:
        adapter: The adapter.
        stack: Its name.
    """
    found, count = points(adapter, stack), layers(adapter, stack)
    expected = {point: 1 if point == "embedding" else count for point in POINTS if point != "cross_attention"}
    if found == expected:
        return "all points"
    missing = [point for point in expected if point not in found]
    some = [f"{point} in {found[point]} of {count}" for point in POINTS if 0 < found[point] != expected.get(point)]
    without = [f"all but {', '.join(missing)}"] if missing else ["all points"]
    return "; ".join((without if len(missing) < 4 else [", ".join(found)]) + some)


def layouts(adapter: Any) -> dict[str, Layout]:
    """What the tokens of each stack are, in a reading of two prompts with an image each.

    Args:
        adapter: The adapter.
    """
    samples = [Sample(str(place), "describe the image", (PICTURE,)) for place in range(2)]
    reading, seen = adapter.reading(samples), {}

    def tick(stack: str, arguments: Any) -> None:
        layout = adapter.layout(stack, adapter.forward(stack, arguments), arguments, reading.call.prompt)
        # A projector may also look up tokens that stand beside an image.
        if layout.kinds.any():
            seen[stack] = layout

    with ExitStack() as exits:
        for stack in {site.stack for site in adapter.sites}:
            exits.enter_context(hooks.clock(adapter.stack(stack), lambda given, stack=stack: tick(stack, given)))
        adapter.read(reading)
    return seen


def image_positions(adapter: Any, layout: Layout) -> str:
    """What `image` selects in the text stack.

    Args:
        adapter: The adapter.
        layout: Of the text stack.
    """
    count = int((layout.kinds[0] & Kind.IMAGE != 0).sum())
    return f"{count} image tokens" if count else "none: cross-attention"


def projector(adapter: Any, seen: dict[str, Layout]) -> str:
    """Which module the projector is, and the shape of what leaves it.

    Args:
        adapter: The adapter.
        seen: What the tokens of each stack are.
    """
    module = adapter.module(Site("projector", 0))
    path = next(name for name, one in adapter.model.named_modules() if one is module)
    rows = len(seen["projector"].kinds)
    return f"`{path}`, {'one row for all images' if rows == 1 else 'a row an image or tile'}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    main(sys.argv[1:])
