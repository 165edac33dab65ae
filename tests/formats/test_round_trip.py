"""What is written for another library comes back, in numbers and places, whatever the direction."""

import math
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmsteer import direction_file
from mmsteer.errors import DirectionError
from mmsteer.formats import FORMATS, Places, load_directions, save_directions, save_steering, whole
from mmsteer.steering import Attribute, Steering
from mmsteer.types import UNKNOWN, Direction, Site, SiteStats

BY_NUMBER, BY_NAME = ("gguf", "dialz", "svec", "pt"), ("npz", "safetensors")


def direction(rng, layers=None, points=("block",), trained=True):
    width = rng.randint(1, 40)
    layers = layers or sorted(rng.sample(range(1, 90), rng.randint(1, 8)))
    sites = [Site("text", layer, rng.choice(points)) for layer in layers]
    draw = torch.Generator().manual_seed(rng.randrange(2**31))
    units = {site: torch.nn.functional.normalize(torch.randn(width, generator=draw), dim=0) for site in sites}
    stats = {
        site: SiteStats(0.9, 0.1, 1.0, rng.uniform(1, 200), None, 10 ** rng.uniform(-3, 3) if trained else None)
        for site in sites
    }
    return Direction("style:pirate", units, stats, "sha256:abc")


def same(one, two):
    return one.keys() == two.keys() and all(torch.allclose(one[site], two[site], rtol=1e-5, atol=0) for site in one)


@pytest.mark.parametrize("kind", [*BY_NUMBER, *BY_NAME])
@pytest.mark.parametrize("seed", range(20))
def test_vectors_come_back_at_their_length(tmp_path, kind, seed):
    rng = random.Random(seed)
    points = ("block", "mlp", "attention", "mid") if kind in BY_NAME else ("block",)
    given = direction(rng, points=points, trained=rng.random() < 0.7)
    path = tmp_path / f"style{FORMATS[kind].ending}"
    save_directions(path, [given], format=kind)
    (found,) = load_directions(path).values()
    assert same(whole(found), whole(given))
    assert (found.model, found.compatibility, found.is_measured) == (UNKNOWN, "dimension", False)
    assert all(math.isclose(float(vector.norm()), 1, rel_tol=1e-6) for vector in found.vectors.values())
    # And through mmsteer's own file, which keeps what is unknown unknown.
    save_directions(tmp_path / "own.safetensors", [found])
    (again,) = load_directions(tmp_path / "own.safetensors").values()
    assert same(whole(again), whole(given))
    assert (again.model, again.compatibility, again.provenance) == (UNKNOWN, "dimension", found.provenance)


@pytest.mark.parametrize("point", ["mlp", "attention"])
def test_the_parts_that_steering_vectors_knows(tmp_path, point):
    given = direction(random.Random(0), points=(point,))
    save_directions(tmp_path / "v.pt", [given])
    (found,) = load_directions(tmp_path / "v.pt", places=Places(point=point)).values()
    assert same(whole(found), whole(given))


def test_a_coefficient_is_the_strength_in_the_unit_of_the_direction(tmp_path):
    site = Site("text", 3)
    given = Direction("a", {site: torch.tensor([0.6, 0.8])}, {site: SiteStats(None, 0.0, 1.0, 50.0)}, "m")
    save_directions(tmp_path / "a.npz", [given])
    # Relative: 1 is the typical norm.
    np.testing.assert_allclose(np.load(tmp_path / "a.npz")["text.3"], [30, 40], rtol=1e-6)
    steering = Steering((Attribute(given, 0.1), Attribute(given, -2.0, unit="absolute")))
    save_steering(tmp_path / "b.npz", steering)
    np.testing.assert_allclose(np.load(tmp_path / "b.npz")["text.3"], [3 - 1.2, 4 - 1.6], rtol=1e-6)


def test_layers_are_read_as_they_are_counted(tmp_path):
    torch.save(
        {0: {"visual": torch.zeros(4)}, 1: {"visual": torch.ones(4)}, 3: {"visual": torch.ones(4)}}, tmp_path / "r.pt"
    )
    by_block = load_directions(tmp_path / "r.pt")["r:visual"]
    assert list(map(str, by_block.sites)) == ["text.1", "text.3"]
    by_state = load_directions(tmp_path / "r.pt", places=Places(counted="hidden_states"))["r:visual"]
    assert list(map(str, by_state.sites)) == ["text.0", "text.2"]
    torch.save({0: torch.ones(4)}, tmp_path / "e.pt")
    (embedding,) = load_directions(tmp_path / "e.pt", places=Places(counted="hidden_states")).values()
    assert list(map(str, embedding.sites)) == ["text.0.embedding"]


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("7", "text.7"),
        ("layer_7", "text.7"),
        ("direction.7", "text.7"),
        ("model.layers.7", "text.7"),
        ("model.layers.7.mlp", "text.7.mlp"),
        ("transformer.h.7", "text.7"),
        ("blocks.7.hook_resid_post", "text.7"),
        ("blocks.7.hook_resid_pre", "text.6"),
        ("text.7.mlp", "text.7.mlp"),
        ("decoder.7", "decoder.7"),
    ],
)
def test_names_of_layers(tmp_path, name, site):
    save_file({name: torch.ones(3)}, tmp_path / "v.safetensors")
    (found,) = load_directions(tmp_path / "v.safetensors").values()
    assert list(map(str, found.sites)) == [site]


@pytest.mark.parametrize("layers", ["3-5", "3,4,5", "text.3, text.4, text.5"])
def test_rows_take_the_layers_that_are_given(tmp_path, layers):
    rows = np.arange(1, 13, dtype=np.float16).reshape(3, 4)
    np.save(tmp_path / "v.npy", rows)
    torch.save(torch.tensor(rows), tmp_path / "v.pt")
    torch.save([torch.tensor(row) for row in rows], tmp_path / "list.pt")
    for file in ("v.npy", "v.pt", "list.pt"):
        (found,) = load_directions(tmp_path / file, places=Places(layers=layers)).values()
        wanted = {Site("text", 3 + at): torch.tensor(row).float() for at, row in enumerate(rows)}
        assert same(whole(found), wanted)
    with pytest.raises(DirectionError, match="no names of layers"):
        load_directions(tmp_path / "v.npy")
    with pytest.raises(DirectionError, match="3 vectors, 2 layers"):
        load_directions(tmp_path / "v.npy", places=Places(layers="3,4"))


def refused(message, path, directions, **options):
    with pytest.raises(DirectionError, match=message):
        save_directions(path, directions, **options)
    assert not path.exists()


def test_what_cannot_be_expressed_is_refused(tmp_path):
    plain = direction(random.Random(1))
    refused("block 0", tmp_path / "a.gguf", [direction(random.Random(1), [0, 1])])
    refused("MLP adds to the residual", tmp_path / "a.gguf", [direction(random.Random(1), [2], ("mlp",))])
    refused("one direction", tmp_path / "a.svec", [plain, plain])
    refused("only read", tmp_path / "a.npy", [plain])
    refused("no format 'x'", tmp_path / "a.gguf", [plain], format="x")
    refused("ends in .gguf", tmp_path / "a.pt", [plain], format="dialz")
    site = Site("vision", 0)
    by_token = Direction("t", {site: torch.eye(4)}, {site: SiteStats(None, 0.0, 1.0, 1.0)}, "m")
    refused("a vector for each token", tmp_path / "a.npz", [by_token])
    both = Direction("t", plain.vectors | {site: torch.eye(4)[0]}, plain.stats | {site: SiteStats(None, 0, 0, 1)}, "m")
    refused("of one stack", tmp_path / "a.pt", [both])


def test_a_steering_says_each_thing_that_is_no_constant_vector(tmp_path):
    from mmsteer.api import parse_steering

    known = {"style:pirate": direction(random.Random(2), [2, 3])}
    line = "style:pirate 0.1 fade-in 0..4s at generated; style:pirate 0.1token; style:pirate 1 by project_out"
    with pytest.raises(DirectionError) as caught:
        save_steering(tmp_path / "a.gguf", parse_steering(line, known))
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    told = zip(("schedule", "positions", "token", "project_out"), lines[1:], strict=True)
    assert all(word in line for word, line in told)
    with pytest.raises(DirectionError, match="a steering is a line"):
        save_steering(tmp_path / "a.safetensors", parse_steering("style:pirate 1", known))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"mine")
    with pytest.raises(DirectionError, match="exists"):
        save_directions(tmp_path / "a.gguf", [direction(random.Random(3))])
    assert (tmp_path / "a.gguf").read_bytes() == b"mine"


def test_own_files_take_no_names(tmp_path):
    direction_file.save_directions(tmp_path / "own.safetensors", [direction(random.Random(4))])
    with pytest.raises(DirectionError, match="own directions"):
        load_directions(tmp_path / "own.safetensors", places=Places(layers="1"))
