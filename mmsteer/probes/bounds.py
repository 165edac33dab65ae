"""Numbers that settings may hold, as types that a recipe's schema is made from."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0)]
