import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc

import fsspec
import pytest
import torch
from safetensors import safe_open

from mmsteer.errors import StoreError
from mmsteer.store import ActivationStore
from mmsteer.store import place as place_module
from mmsteer.types import LogHistogram, Site

NORM = LogHistogram({0: 1})
A, B = Site("decoder", 0), Site("decoder", 1, "mlp")
SOURCE = {"model": "sha256:abc", "data": "notes v1", "positions": "generated", "pooling": "mean", "dtype": "bfloat16"}


def states(ids, site, windows=None):
    """Values that tell their sample and site."""
    shape = (4,) if windows is None else (windows, 4)
    rows = [torch.arange(4.0).expand(shape) + 10 * int(name) + 0.5 * site.layer for name in ids]
    return torch.stack(rows)


def record(store, ids, windows=None):
    values = {site: states(ids, site, windows) for site in (A, B)}
    store.append(ids, values, {A: LogHistogram({128: len(ids)}), B: LogHistogram({425: 5 * len(ids)})})


@pytest.fixture
def store(tmp_path):
    store = ActivationStore.create(tmp_path / "run", SOURCE)
    record(store, ["3", "1", "2"])
    record(store, ["7", "5"])
    return store


def test_samples_come_back_in_recorded_order(store):
    loaded = ActivationStore(store.folder).load()
    assert loaded.ids == ("3", "1", "2", "7", "5")
    assert loaded.sites == (A, B)
    assert loaded.source == SOURCE
    for site in (A, B):
        assert torch.equal(loaded.values[site], states(loaded.ids, site))
        assert loaded.values[site].dtype == torch.float32


def test_samples_and_sites_come_in_the_order_asked_for(store):
    loaded = store.load([B], ids=["5", "1", "7"])
    assert loaded.sites == (B,)
    assert torch.equal(loaded.values[B], states(["5", "1", "7"], B))


def test_norms_are_those_of_all_states_of_all_shards(tmp_path):
    store = ActivationStore.create(tmp_path, SOURCE)
    store.append(["1"], {A: states(["1"], A)}, {A: LogHistogram({128: 10, 256: 1})})
    store.append(["2"], {A: states(["2"], A)}, {A: LogHistogram({256: 30})})
    norms = ActivationStore(tmp_path).load(ids=["2"]).norms[A]
    # By hand: of 41 norms 10 are about 2, and 31 about 4, where the median lies.
    assert norms == LogHistogram({128: 10, 256: 31})
    assert norms.median == pytest.approx(4, rel=0.006)


def test_states_in_windows(tmp_path):
    store = ActivationStore.create(tmp_path, SOURCE)
    record(store, ["1", "2"], windows=3)
    assert torch.equal(store.load().values[A], states(["1", "2"], A, 3))
    with pytest.raises(StoreError, match=r"decoder.0 has shape \(1, 2, 4\).*the same in every shard: \(3, 4\)"):
        record(store, ["3"], windows=2)


def test_float16_halves_the_shard_and_comes_back_as_float32(tmp_path):
    sizes = {}
    for dtype in ("float16", "float32"):
        store = ActivationStore.create(tmp_path / dtype, SOURCE, dtype=dtype)
        store.append(["1"], {A: torch.full((1, 1000), 0.1)}, {A: NORM})
        sizes[dtype] = (store.folder / "shard-00000.safetensors").stat().st_size
    value = ActivationStore(tmp_path / "float16").load().values[A]
    assert value.dtype == torch.float32
    assert value[0, 0].item() == torch.tensor(0.1).half().item()
    assert sizes["float32"] - sizes["float16"] == 2000


def test_a_number_too_large_for_float16_is_refused(tmp_path):
    store = ActivationStore.create(tmp_path, SOURCE, dtype="float16")
    with pytest.raises(StoreError, match="not finite as float16"):
        store.append(["1"], {A: torch.full((1, 4), 1e6)}, {A: NORM})
    assert store.done() == set()


def test_a_recording_goes_on_with_the_set_difference(store):
    again = ActivationStore.create(store.folder, dict(reversed(SOURCE.items())))
    assert again.done() == {"1", "2", "3", "5", "7"}
    record(again, sorted({"1", "4", "7", "9"} - again.done()))
    assert again.load().ids == ("3", "1", "2", "7", "5", "4", "9")


@pytest.mark.parametrize(
    ("source", "dtype", "message"),
    [
        (SOURCE | {"pooling": "last"}, "float32", "pooling: 'mean' there, 'last' asked"),
        (SOURCE | {"dtype": "float32"}, "float32", "dtype: 'bfloat16' there, 'float32' asked"),
        (SOURCE | {"seed": "1"}, "float32", "seed: None there, '1' asked"),
        ({"model": "sha256:abc"}, "float32", "data: 'notes v1' there, None asked; dtype.*; pooling.*; positions"),
        (SOURCE, "float16", "dtype on disk: 'float32' there, 'float16' asked"),
    ],
)
def test_a_store_of_another_source_is_refused(store, source, dtype, message):
    with pytest.raises(StoreError, match=message):
        ActivationStore.create(store.folder, source, dtype=dtype)


@pytest.mark.parametrize(("source", "dtype"), [({"a": 1}, "float32"), (SOURCE, "int8")])
def test_a_source_is_text_and_a_type_is_known(tmp_path, source, dtype):
    with pytest.raises(StoreError):
        ActivationStore.create(tmp_path, source, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="not empty and holds no store"):
        ActivationStore.create(tmp_path, SOURCE)
    with pytest.raises(StoreError, match="not empty and holds no store"):
        ActivationStore.create(tmp_path / "thesis.tex", SOURCE)
    with pytest.raises(StoreError, match="cannot be made: Not a directory"):
        ActivationStore.create(tmp_path / "thesis.tex" / "run", SOURCE)


def test_no_store(tmp_path):
    with pytest.raises(StoreError, match="holds no store"):
        ActivationStore(tmp_path / "none")


@pytest.mark.parametrize("ids", [["8", "1"], ["8", "8"], [], [""], ["a\0"], [8], ["\ud800"]])
def test_names_are_new_unique_text(store, ids):
    with pytest.raises(StoreError):
        store.append(ids, {A: torch.ones(len(ids), 4), B: torch.ones(len(ids), 4)}, {A: NORM, B: NORM})
    assert ActivationStore(store.folder).load().ids == ("3", "1", "2", "7", "5")


ONE = torch.ones(1, 4)


@pytest.mark.parametrize(
    ("values", "norms", "message"),
    [
        ({A: ONE}, {A: NORM}, "records"),
        ({A: ONE, B: ONE}, {A: NORM}, "records"),
        ({A: ONE, B: ONE, Site("x", 1): ONE}, {A: NORM, B: NORM}, "records"),
        ({A: ONE, B: torch.ones(2, 4)}, {A: NORM, B: NORM}, "has shape"),
        ({A: ONE, B: torch.ones(1, 5)}, {A: NORM, B: NORM}, "has shape"),
        ({A: ONE, B: torch.ones(1)}, {A: NORM, B: NORM}, "has shape"),
        ({A: ONE, B: ONE * float("nan")}, {A: NORM, B: NORM}, "not finite"),
        ({A: ONE, B: ONE}, {A: NORM, B: LogHistogram({})}, "decoder.1.mlp has no norms"),
        ({A: ONE, B: ONE}, {A: NORM, B: LogHistogram({3: 0})}, "fewer than one in a bin"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_recorded(store, values, norms, message):
    before = sorted(store.folder.iterdir())
    with pytest.raises(StoreError, match=message):
        store.append(["8"], values, norms)
    assert sorted(store.folder.iterdir()) == before
    assert "8" not in store.done()


def test_the_first_shard_must_be_whole_too(tmp_path):
    store = ActivationStore.create(tmp_path, SOURCE)
    for values in ({}, {A: torch.ones(4)}, {A: torch.ones(1, 2, 3, 4)}):
        with pytest.raises(StoreError):
            store.append(["1"], values, dict.fromkeys(values, NORM))


def test_what_was_not_recorded_cannot_be_loaded(store, tmp_path):
    with pytest.raises(StoreError, match=r"\['decoder.9'\] was recorded; it has decoder.0, decoder.1.mlp"):
        store.load([Site("decoder", 9)])
    with pytest.raises(StoreError, match=r"\['4', '6'\] not recorded \(2 such\)"):
        store.load(ids=["1", "4", "6"])
    with pytest.raises(StoreError, match="asked for twice"):
        store.load(ids=["1", "1"])
    with pytest.raises(StoreError, match="it has nothing yet"):
        ActivationStore.create(tmp_path / "new", SOURCE).load()


def test_a_shard_is_checked_when_it_is_read(store):
    shard = store.folder / "shard-00001.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert store.load(ids=["1"]).ids == ("1",)
    with pytest.raises(StoreError, match=r"shard-00001.safetensors is damaged.*checksum"):
        store.load()
    shard.unlink()
    with pytest.raises(StoreError, match=r"cannot be read: No such file.*record again"):
        store.load()


def change_lines(store, change):
    """Let a function change the manifest's lines: the header, then a shard each."""
    path = store.folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_shard_that_does_not_fit_the_manifest(store):
    def widen(lines):
        for line in lines[1:]:
            line["sites"]["decoder.0"]["shape"] = [7]

    change_lines(store, widen)
    with pytest.raises(StoreError, match="does not fit its manifest"):
        ActivationStore(store.folder).load()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[0].update(version=1),
        lambda m: m[0].update(extra=1),
        lambda m: m.clear(),
        lambda m: m[1]["sites"].pop("decoder.0"),
        lambda m: m[1]["sites"]["decoder.0"].update(shape=[-4]),
        lambda m: m[1]["sites"]["decoder.0"].update(shape=[5]),
        lambda m: m[1].update(file="../../etc/passwd"),
        lambda m: m[1].update(file="shard-00000.safetensors\n"),
        lambda m: m[1]["ids"].append("5"),
        lambda m: m[0].update(version=2),
        lambda m: m[1]["sites"]["decoder.0"].update(states=5),
        lambda m: m[1]["sites"]["decoder.0"].update(norms=2.5),
        lambda m: m[1]["sites"]["decoder.0"].update(norms={}),
        lambda m: m[1]["sites"]["decoder.0"].update(norms={"3": -1}),
        lambda m: m[1]["sites"]["decoder.0"].update(norms={"4096": 1}),
    ],
)
def test_a_damaged_manifest_is_refused(store, change):
    change_lines(store, change)
    with pytest.raises(StoreError, match=r"manifest.jsonl is damaged"):
        ActivationStore(store.folder)


def test_random_bytes_in_the_manifest_give_a_store_error_or_a_store(store):
    path, rng = store.folder / "manifest.jsonl", random.Random(0)
    data = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
        try:
            loaded = ActivationStore(store.folder).load()
        except StoreError:
            continue
        assert len(loaded.ids) in (3, 5)  # without its last line end, a line does not count


@pytest.mark.parametrize("part", [0, 1, 50, -1])
def test_a_shard_without_its_whole_line_in_the_manifest_does_not_count(store, part):
    """A kill between the two writes, or in the second: the shard is there, its line is not or not whole."""
    path = store.folder / "manifest.jsonl"
    before = path.read_bytes()
    record(store, ["8"])
    path.write_bytes(before + path.read_bytes()[len(before) :][:part])
    again = ActivationStore.create(store.folder, SOURCE)
    assert "8" not in again.done()
    record(again, ["9"])
    assert ActivationStore(store.folder).load().ids == ("3", "1", "2", "7", "5", "9")


def test_two_recordings_at_once_are_refused(store):
    other = ActivationStore(store.folder)
    record(other, ["8"])
    with pytest.raises(StoreError, match="another process"):
        record(store, ["9"])
    assert ActivationStore(store.folder).done() == other.done()


def test_a_full_disk_loses_nothing(store, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    for write in ("write_atomically", "append_whole"):
        with monkeypatch.context() as patch:
            whole = getattr(place_module, write)
            patch.setattr(
                place_module, write, lambda *args, whole=whole: patch.setattr("os.fsync", full) or whole(*args)
            )
            with pytest.raises(StoreError, match=r"No space left.*nothing recorded before is lost"):
                record(store, ["8"])
        assert ActivationStore(store.folder).done() == {"3", "1", "2", "7", "5"}
    record(store, ["8"])
    assert store.load().ids[-1] == "8"


def test_the_manifest_grows_by_a_line_a_shard(tmp_path):
    store, sizes = ActivationStore.create(tmp_path, SOURCE), [0]
    for name in map(str, range(10, 40)):
        before = (tmp_path / "manifest.jsonl").read_bytes()
        record(store, [name])
        after = (tmp_path / "manifest.jsonl").read_bytes()
        assert after.startswith(before)
        sizes.append(len(after) - len(before))
    assert len(set(sizes[1:])) == 1


KILLED = """
import sys, torch
from mmsteer.store import ActivationStore
from mmsteer.types import LogHistogram, Site
store = ActivationStore.create(sys.argv[1], {"model": "m"})
print("ready", flush=True)
for name in map(str, range(100_000)):
    if name not in store.done():
        store.append([name], {Site("a", 0): torch.full((1, 20_000), float(name))}, {Site("a", 0): LogHistogram({0: 1})})
        print(name, flush=True)
"""


def test_a_killed_recording_resumes_without_loss_or_half_shards(tmp_path):
    said: list[str] = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path / "run"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert process.stdout
        said += [process.stdout.readline() for _ in range(8)]
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].splitlines()
    store = ActivationStore.create(tmp_path / "run", {"model": "m"})
    loaded = store.load()
    assert list(loaded.ids) == [str(i) for i in range(len(loaded.ids))]
    assert {line.strip() for line in said} - {"ready"} <= store.done()
    assert torch.equal(loaded.values[Site("a", 0)][:, 0], torch.arange(float(len(loaded.ids))))
    assert not list(store.folder.glob(".*"))


def test_memory_stays_flat_while_appending(tmp_path):
    store = ActivationStore.create(tmp_path, SOURCE)

    def peak(names):
        tracemalloc.start()
        for name in names:
            store.append([name], {A: torch.ones(1, 100_000)}, {A: NORM})
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    first = peak(["a", "b"])
    # Twenty more shards of 400 kB each: only their names stay.
    assert peak([str(i) for i in range(20)]) < first + 100_000


def test_shards_are_plain_safetensors(store):
    with safe_open(store.folder / "shard-00000.safetensors", framework="pt") as file:
        assert sorted(file.keys()) == ["decoder.0", "decoder.1.mlp"]


def test_a_store_behind_an_address_is_the_same_store(store):
    address = f"memory://{store.folder}"
    there = ActivationStore.create(address, SOURCE)
    record(there, ["3", "1", "2"])
    # Another process goes on; what it finds is only what the address holds.
    again = ActivationStore.create(address, SOURCE)
    assert again.done() == {"3", "1", "2"}
    record(again, ["7", "5"])
    with pytest.raises(StoreError, match="changed by another process"):
        record(there, ["9"])
    here, loaded = store.load(), ActivationStore(address).load()
    assert (loaded.ids, loaded.sites, loaded.source) == (here.ids, here.sites, here.source)
    assert loaded.norms == here.norms
    for site in (A, B):
        assert loaded.values[site].equal(here.values[site])
    files = fsspec.filesystem("memory")
    for name in ("manifest.jsonl", "shard-00001.safetensors"):
        assert files.cat_file(f"{store.folder}/{name}") == (store.folder / name).read_bytes()
    files.pipe_file(f"{store.folder}/shard-00001.safetensors", b"something else")
    with pytest.raises(StoreError, match=r"shard-00001\.safetensors is damaged"):
        ActivationStore(address).load()


def test_addresses_that_cannot_be_opened_are_one_error(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for address, message in {
        "nosuch://bucket/run": "fsspec cannot open it",
        "memory://nothing/there": "holds no store",
    }.items():
        with pytest.raises(StoreError, match=message):
            ActivationStore(address)
    with pytest.raises(StoreError, match="not empty and holds no store"):
        ActivationStore.create(f"file://{tmp_path}", SOURCE)
