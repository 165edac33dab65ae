"""What rows must say for outputs to be scored."""

from collections.abc import Sequence

from mmsteer.errors import RecipeError
from mmsteer.recipes.rows.scorers import Scorer
from mmsteer.tasks import Row


def check_truth(name: str, scorer: Scorer, rows: Sequence[Row]) -> None:
    """Refuse a scorer that compares with what no row has: it would score no output.

    `name`: as the recipe writes it.

    Raises:
        RecipeError: No row has it.
    """
    if rows and not any(all(_has(row, key) for key in scorer.needs) for row in rows):
        keys = " and ".join(f"`{key}`" for key in scorer.needs)
        raise RecipeError(f"no row has {keys}, which {name!r} compares with; add it, or take another metric")


def _has(row: Row, key: str) -> bool:
    field, _, name = key.partition(".")
    value = getattr(row, field)
    return name in value if name else value not in (None, ())
