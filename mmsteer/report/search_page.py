"""A search as a page: what it chose, reward against price, the grid, and answers before and after."""

from collections.abc import Sequence

from markupsafe import Markup

from mmsteer.errors import shorten
from mmsteer.eval.text import word_changes
from mmsteer.eval.words import repetition
from mmsteer.report.rendering import render
from mmsteer.report.svg import Axis, Element, as_file, drawing, element, frame, marker
from mmsteer.search import Cell, Search
from mmsteer.types import mean_score

WIDTH, HEIGHT = 560, 320
EXAMPLES = 8
LONGEST = 60
"""Characters of a reward's name beside an axis."""

_STYLE = """svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .rule{stroke:currentColor;opacity:.15}
svg .limit{stroke:#b00;stroke-dasharray:4 3}svg .steered{fill:#06c}svg .control{fill:none;stroke:#888}
svg .plain{stroke:currentColor;fill:none}svg .chosen{fill:none;stroke:#06c;stroke-width:2}"""


def search_page(found: Search) -> str:
    """The page; it needs nothing but itself, and the clips in its folder."""
    best = found.best
    return render(
        "search.html.j2",
        found=found,
        verdict=verdict(found),
        line=found.line(best) if best and found.gains else "",
        picture=draw_search(found),
        examples=_examples(found),
        rows=[_row(found, cell, control) for cell, control in zip(found.cells, found.controls, strict=True)],
    )


def verdict(found: Search) -> list[str]:
    """What was found, in a few lines."""
    best, control = found.best, found.best_control
    plain = f"unsteered {score(found, found.unsteered)}"
    if best is None:
        return [
            f"No cell is within {found.budget_kl:g} nats a token ({plain}); try smaller strengths or a larger budget."
        ]
    lines = [
        f"On {len(found.unsteered.rewards)} validation rows: {found.reward} {score(found, best)} at "
        f"{found.line(best)}, {best.kl:.2f} nats a token; {plain}; best random direction "
        f"{score(found, control) if control else 'not tried'}."
    ]
    if not found.audio:
        lines[0] += f" Repetition {_repeated(best)}, unsteered {_repeated(found.unsteered)}."
    if not found.gains:
        lines.append("No cell within the budget gains anything over the unsteered model.")
    elif control and control.worth >= best.worth:
        lines.append("A random direction at the same price reaches as much: this is not the direction's doing.")
    if found.tested:
        said = ", ".join(f"{name} {score(found, cell)}" for name, cell in found.tested.items())
        rows = len(found.tested["unsteered"].rewards)
        lines.append(f"On {rows} rows that chose nothing: {said}.")
    else:
        lines.append("No rows were left to judge the choice on: its reward is the best of many, and so too high.")
    return lines


def score(found: Search, cell: Cell) -> str:
    """The reward of a cell with its interval, and what could not be scored."""
    return found.score(cell).with_unscored() if cell.answers else "not generated"


def _repeated(cell: Cell) -> str:
    """Mean share of an answer's runs of four words that occur earlier in it."""
    found = mean_score([repetition(one) for one in cell.answers]).value
    return "unknown" if found is None else f"{found:.2f}"


def draw_search(found: Search) -> Markup:
    """Reward against price."""
    cells = [cell for cell in (*found.cells, *found.controls) if cell.answers]
    x = Axis(0.0, 1.05 * max([found.budget_kl, *(cell.kl for cell in cells)]), 44, WIDTH - 16)
    y = Axis(0.0, 1.0, HEIGHT - 48, 28)
    titles = ("KL from the unsteered model (nats a token)", shorten(found.reward, LONGEST))
    parts = [element("style", text=_STYLE), *frame(x, y, titles)]
    parts.append(element("path", d=f"M{x(found.budget_kl):.1f} {y.start:.1f}V{y.stop:.1f}", kind="limit"))
    parts += _marks(found.controls, "triangle", "control", x, y)
    parts += _marks([found.unsteered], "tick", "plain", x, y)
    parts += _marks(found.cells, "dot", "steered", x, y)
    parts += _marks([found.best] if found.best else [], "chosen", "", x, y)
    spoken = f"{found.reward} against the divergence from the unsteered model, for {len(cells)} cells"
    return drawing(WIDTH, HEIGHT, spoken, parts, "chart")


def search_svg(found: Search) -> bytes:
    """`draw_search` as a file of its own."""
    return as_file(draw_search(found))


def _marks(cells: Sequence[Cell], shape: str, kind: str, x: Axis, y: Axis) -> list[Element]:
    return [
        marker(shape, x(cell.kl), y(cell.worth), kind, str(cell.place) if cell.place.sites else "unsteered")
        for cell in cells
        if cell.answers
    ]


def _examples(found: Search) -> list[dict[str, object]]:
    before, after = found.tested.get("unsteered"), found.tested.get("steered")
    if before is None or after is None:
        return []
    triples = zip(found.prompts[1], before.answers, after.answers, strict=True)
    return [
        {"prompt": prompt, "before": _player(one), "after": _player(two)}
        if found.audio
        else {"prompt": prompt, "before": _marked(one, two, "del"), "after": _marked(one, two, "ins")}
        for prompt, one, two in list(triples)[:EXAMPLES]
    ]


def _player(name: str) -> Markup:
    return Markup('<audio controls preload="none" src="{}"></audio>').format(name)


def _marked(before: str, after: str, tag: str) -> Markup:
    """One of two answers, with the words marked that the other one does not have."""
    own = "removed" if tag == "del" else "added"
    parts = [
        Markup("<{0}>{1}</{0}>").format(Markup(tag), part.text) if part.change == own else Markup.escape(part.text)
        for part in word_changes(before, after)
        if part.change in ("same", own)
    ]
    return Markup(" ").join(parts)


def _row(found: Search, cell: Cell, control: Cell) -> dict[str, object]:
    texts = [cell.place.sites, f"{cell.place.strength:g}", cell.place.positions, f"{cell.kl:.3f}", score(found, cell)]
    texts += [] if found.audio else [_repeated(cell) if cell.answers else ""]
    texts += [
        str(found.score(cell).unscored) if cell.answers else "",
        f"{control.place.strength:g}",
        f"{control.kl:.3f}",
    ]
    return {"cells": [*texts, score(found, control)], "over": cell.kl > found.budget_kl}
