"""What a store of activations holds: a header, then a line a shard."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmsteer.errors import StoreError
from mmsteer.store.place import Place
from mmsteer.types.histogram import BINS_PER_OCTAVE, OCTAVES

AGAIN = "remove the folder and record again"

DtypeName = Literal["float32", "float16"]

_MOST = OCTAVES * BINS_PER_OCTAVE
_Bin = Annotated[int, Field(ge=-_MOST, lt=_MOST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Header(_Strict):
    """What is recorded and how."""

    format: Literal["mmsteer activations"] = "mmsteer activations"
    version: Literal[3] = 3
    source: dict[str, str]
    dtype: DtypeName


class States(_Strict):
    """What a shard has of a site: the shape of a sample, and the histogram of the unpooled states' norms."""

    shape: list[Annotated[int, Field(gt=0)]]
    norms: Annotated[dict[_Bin, Annotated[int, Field(gt=0)]], Field(min_length=1)]


class Shard(_Strict):
    """One file of samples."""

    # A fixed form: a manifest must not lead out of its folder.
    file: Annotated[str, Field(pattern=r"^shard-\d{5,9}\.safetensors$")]
    sha256: str
    ids: list[str]
    sites: dict[str, States]

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of a sample at each site."""
        return {site: states.shape for site, states in self.sites.items()}


@dataclass(frozen=True)
class Manifest:
    """A header, then a line a shard, so that the thousandth shard costs what the first did.

    Attributes:
        header: What is recorded and how.
        shards: In the order they were recorded.
        size: Bytes of the lines that are whole; a recording that was killed may leave a part of one more.
    """

    header: Header
    shards: list[Shard]
    size: int

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read the lines that are whole.

        Raises:
            ValueError: They are not those of one recording.
        """
        size = data.rfind(b"\n") + 1
        first, *rest = data[:size].splitlines() or [b""]
        shards = [Shard.model_validate_json(line) for line in rest]
        ids = [name for shard in shards for name in shard.ids]
        if len(set(ids)) != len(ids):
            raise ValueError("a sample is there twice")
        if any(shard.shapes != shards[0].shapes for shard in shards):
            raise ValueError("the shards have different sites")
        return cls(Header.model_validate_json(first), shards, size)

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of a sample at each site; none before the first shard."""
        return self.shards[0].shapes if self.shards else {}


def read_manifest(place: Place, name: str) -> Manifest:
    """Read a manifest's file.

    Raises:
        StoreError: It is not there, or damaged.
    """
    try:
        return Manifest.read(place.read(name))
    except OSError as cause:
        raise StoreError(f"{place.name} holds no store: {name}: {cause.strerror or cause}") from None
    except ValidationError as cause:
        raise StoreError(f"{place.name}/{name} is damaged: {first_problem(cause)}; {AGAIN}") from None
    except ValueError as cause:
        raise StoreError(f"{place.name}/{name} is damaged: {cause}; {AGAIN}") from None


def first_problem(cause: ValidationError) -> str:
    """The first of what is wrong, in a few words."""
    problem = cause.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part)[:80] for part in problem['loc'])}: {problem['msg'][:200]}".removeprefix(": ")
