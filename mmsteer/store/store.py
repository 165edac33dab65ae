"""Activations on disk: immutable shards and a manifest, so that a recording can stop and go on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from mmsteer.errors import SiteError, StoreError
from mmsteer.store.manifest import AGAIN, DtypeName, Header, Shard, States, first_problem, read_manifest
from mmsteer.store.place import Place, nothing_lost, place_of
from mmsteer.types import Activations, LogHistogram, Site

MANIFEST = "manifest.jsonl"
DTYPES = {"float32": torch.float32, "float16": torch.float16}

_STORED_AS = "dtype on disk"


class ActivationStore:
    """A folder of recorded activations, of this machine or behind an address such as `s3://bucket/run`.

    A shard counts once the manifest names it, and the manifest names only whole shards: a recording that is
    killed loses at most the shard it was writing. One process may append at a time.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a store that is there.

        Args:
            folder: The store; a text with a protocol is opened by fsspec.

        Raises:
            StoreError: There is no store, its manifest is damaged, or fsspec cannot open it.
        """
        self._place = place_of(folder)
        self._manifest = read_manifest(self._place, MANIFEST)
        self._stamp = self._place.stamp(MANIFEST)
        self._done = {name for shard in self._manifest.shards for name in shard.ids}

    @classmethod
    def create(
        cls, folder: str | Path, source: Mapping[str, str], *, dtype: DtypeName = "float32"
    ) -> "ActivationStore":
        """Start a recording, or go on with the one in the folder if it has the same source.

        Args:
            folder: The store, as for opening one; made if it is not there.
            source: What is read and how: model fingerprint, data fingerprint, positions, pooling.
            dtype: Type of the numbers on disk; float16 halves the size and keeps three digits.

        Raises:
            StoreError: The folder holds a recording of another source or type, or other files.
        """
        place = place_of(folder)
        if place.stamp(MANIFEST) is None:
            _start(place, source, dtype)
        store = cls(folder)
        store._check_source({**source, _STORED_AS: dtype})
        place.tidy()
        return store

    @property
    def folder(self) -> Path | str:
        """Where it lies."""
        return self._place.name

    @property
    def source(self) -> dict[str, str]:
        """What was read and how."""
        return dict(self._manifest.header.source)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, in the order they were recorded; none before the first shard."""
        return tuple(_site(self.folder, text) for text in self._manifest.shapes)

    def done(self) -> set[str]:
        """The samples that are recorded; what remains is the set difference."""
        return set(self._done)

    def append(self, ids: Sequence[str], values: Mapping[Site, Tensor], norms: Mapping[Site, LogHistogram]) -> None:
        """Add samples as one shard; all of them are recorded, or none.

        Args:
            ids: One new name a sample.
            values: For each site the states, (samples, width) or (samples, windows, width).
            norms: For each site the norms of the unpooled states that the values came from.

        Raises:
            StoreError: A name is taken, a shape or site differs from the shards before, or a number is not
                finite.
        """
        self._check_alone()
        self._check_ids(ids)
        tensors = {str(site): self._stored(site, value, len(ids)) for site, value in values.items()}
        counts = {str(site): dict(one.counts) for site, one in norms.items()}
        self._check_sites(tensors, counts)
        name = f"shard-{len(self._manifest.shards):05d}.safetensors"
        data = save(tensors)
        sites = {key: States(shape=list(tensor.shape[1:]), norms=counts[key]) for key, tensor in tensors.items()}
        shard = Shard(file=name, sha256=hashlib.sha256(data).hexdigest(), ids=list(ids), sites=sites)
        line = shard.model_dump_json().encode() + b"\n"
        self._write(name, data, line)
        self._manifest.shards.append(shard)
        self._manifest = replace(self._manifest, size=self._manifest.size + len(line))
        self._done.update(ids)

    def load(self, sites: Iterable[Site] | None = None, ids: Sequence[str] | None = None) -> Activations:
        """Read samples into memory as float32; every shard that is read is checked against its sum.

        Args:
            sites: Which sites, in which order; all by default.
            ids: Which samples, in which order; all as recorded by default.

        Returns:
            The activations; `norms` are those of the whole store, whichever samples are read.

        Raises:
            StoreError: A sample or site was not recorded, or a shard is damaged.
        """
        chosen = self.sites if sites is None else tuple(sites)
        order = [name for shard in self._manifest.shards for name in shard.ids] if ids is None else list(ids)
        self._check_recorded(chosen, order)
        rows = {name: row for row, name in enumerate(order)}
        values = {
            site: torch.empty((len(order), *self._manifest.shapes[str(site)]), dtype=torch.float32) for site in chosen
        }
        for shard in self._manifest.shards:
            if not rows.keys().isdisjoint(shard.ids):
                self._fill(values, rows, shard)
        return Activations(values, {site: self._norms(site) for site in chosen}, tuple(order), self.source)

    def _write(self, name: str, shard: bytes, line: bytes) -> None:
        with nothing_lost(self._place):
            self._place.write(name, shard)
            try:
                self._place.append(MANIFEST, self._manifest.size, line)
            finally:
                self._stamp = self._place.stamp(MANIFEST)

    def _fill(self, values: Mapping[Site, Tensor], rows: Mapping[str, int], shard: Shard) -> None:
        # Copies the wanted samples of one shard to their rows.
        self._check_sum(shard)
        pairs = [(rows[name], index) for index, name in enumerate(shard.ids) if name in rows]
        here, there = map(list, zip(*pairs, strict=True))
        try:
            for site, stored in self._place.tensors(shard.file, map(str, values)):
                values[Site.parse(site)][here] = stored[there].float()
        except (SafetensorError, RuntimeError, LookupError) as cause:
            raise StoreError(f"{self.folder}/{shard.file} does not fit its manifest ({cause}); {AGAIN}") from None

    def _check_sum(self, shard: Shard) -> None:
        try:
            found = self._place.digest(shard.file)
        except OSError as cause:
            reason = cause.strerror or cause
            raise StoreError(f"{self.folder}/{shard.file} cannot be read: {reason}; {AGAIN}") from None
        if found != shard.sha256:
            raise StoreError(
                f"{self.folder}/{shard.file} is damaged: its checksum differs from the manifest's; {AGAIN}"
            )

    def _norms(self, site: Site) -> LogHistogram:
        parts = (LogHistogram(shard.sites[str(site)].norms) for shard in self._manifest.shards)
        return sum(parts, LogHistogram({}))

    def _stored(self, site: Site, value: Tensor, samples: int) -> Tensor:
        wanted = self._manifest.shapes.get(str(site), list(value.shape[1:]))
        if value.ndim not in (2, 3) or list(value.shape) != [samples, *wanted]:
            raise StoreError(
                f"{self.folder}: {site} has shape {tuple(value.shape)}; expected {samples} samples of "
                f"(width,) or (windows, width), the same in every shard: {tuple(wanted)}"
            )
        dtype = self._manifest.header.dtype
        stored = value.detach().to("cpu", DTYPES[dtype], copy=True).contiguous()
        if not torch.isfinite(stored).all():
            raise StoreError(
                f"{self.folder}: {site} has values that are not finite as {dtype}; run the model in float32 or "
                "bfloat16, and store float32"
            )
        return stored

    def _check_alone(self) -> None:
        if self._place.stamp(MANIFEST) != self._stamp:
            raise StoreError(f"{self.folder} was changed by another process; record from one process at a time")

    def _check_ids(self, ids: Sequence[str]) -> None:
        if not all(isinstance(name, str) and name.isprintable() and name for name in ids):
            raise StoreError(f"{self.folder}: names of samples are printable text, not {list(ids)[:8]!r}")
        taken = sorted(self._done.intersection(ids))
        if taken:
            raise StoreError(
                f"{self.folder}: {taken[0]!r} is recorded already ({len(taken)} such); skip what is done()"
            )
        if not ids or len(set(ids)) != len(ids):
            raise StoreError(
                f"{self.folder}: a shard holds one sample or more, each of its own name, not {list(ids)[:8]}"
            )

    def _check_sites(self, tensors: Mapping[str, Tensor], norms: Mapping[str, Mapping[int, int]]) -> None:
        wanted = list(self._manifest.shapes or tensors)
        if not wanted or sorted(wanted) != sorted(tensors) or sorted(wanted) != sorted(norms):
            raise StoreError(
                f"{self.folder} records {wanted}; got values at {sorted(tensors)} and norms at {sorted(norms)}"
            )
        for site, counts in norms.items():
            if not counts or min(counts.values()) < 1:
                raise StoreError(f"{self.folder}: {site} has no norms, or fewer than one in a bin: {dict(counts)}")

    def _check_source(self, source: Mapping[str, str]) -> None:
        here = {**self._manifest.header.source, _STORED_AS: self._manifest.header.dtype}
        differing = sorted(key for key in here.keys() | source.keys() if here.get(key) != source.get(key))
        if differing:
            told = "; ".join(f"{key}: {here.get(key)!r} there, {source.get(key)!r} asked" for key in differing)
            raise StoreError(f"{self.folder} is another recording ({told}); choose another folder, or remove this one")

    def _check_recorded(self, sites: Sequence[Site], ids: Sequence[str]) -> None:
        unknown = [str(site) for site in sites if str(site) not in self._manifest.shapes]
        if unknown or not self._manifest.shards:
            have = ", ".join(self._manifest.shapes) or "nothing yet"
            raise StoreError(f"{self.folder}: {unknown or 'no sample'} was recorded; it has {have}")
        missing = [name for name in ids if name not in self._done]
        if missing or len(set(ids)) != len(ids):
            what = f"{missing[:3]} not recorded ({len(missing)} such)" if missing else "a sample is asked for twice"
            raise StoreError(f"{self.folder}: {what}")


def _start(place: Place, source: Mapping[str, str], dtype: DtypeName) -> None:
    try:
        header = Header(source=dict(source), dtype=dtype)
    except ValidationError as cause:
        raise StoreError(f"{place.name}: {first_problem(cause)}; a source maps names to texts") from None
    try:
        ready = place.begin()
    except OSError as cause:
        raise StoreError(f"{place.name} cannot be made: {cause.strerror or cause}") from cause
    if not ready:
        raise StoreError(f"{place.name} is not empty and holds no store; choose another folder")
    with nothing_lost(place):
        place.write(MANIFEST, header.model_dump_json().encode() + b"\n")


def _site(folder: Path | str, text: str) -> Site:
    try:
        return Site.parse(text)
    except SiteError as cause:
        raise StoreError(f"{folder}/{MANIFEST} is damaged: {cause}") from None
