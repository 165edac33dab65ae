"""Reading hidden states."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsteer import hooks
from mmsteer.adapters import adapt, load
from mmsteer.errors import PositionsError, StoreError
from mmsteer.record import data_fingerprint, record
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Positions, Sample, Site, select_sites
from tests.adapters.checkpoints import save
from tests.adapters.test_families import picture
from tests.adapters.test_wrapped import fresh, with_lora
from tests.conftest import planted

SITE = Site("decoder", 2)


def samples(count=5, seconds=0.4):
    rng = np.random.default_rng(0)
    length = round(16000 * seconds)
    return [
        Sample(f"clip-{i}", "a slow melody", output=rng.normal(size=length).astype(np.float32)) for i in range(count)
    ]


def test_pools_agree_with_the_tokens(musicgen):
    def read(pool, positions="all"):
        return record(musicgen, samples(), [SITE], pool=pool, positions=Positions(positions)).values[SITE]

    tokens = read("tokens")
    assert tokens.shape == (5, 20 + 3, 32)
    torch.testing.assert_close(read("mean"), tokens.mean(1))
    torch.testing.assert_close(read("max"), tokens.amax(1))
    torch.testing.assert_close(read("last"), tokens[:, -1])
    torch.testing.assert_close(read("mean", "0.1..0.2s"), tokens[:, 5:10].mean(1))
    torch.testing.assert_close(read("windows(0.1s)")[:, 1], tokens[:, 5:10].mean(1))
    torch.testing.assert_close(read("last", "generated & 0..4steps"), tokens[:, 3])
    torch.testing.assert_close(read("mean", "first"), tokens[:, 0])


def test_batches_and_the_order_of_sites_change_nothing(musicgen):
    sites = select_sites("decoder.*", musicgen.sites)
    one, many = (record(musicgen, samples(), sites, batch=batch) for batch in (1, 16))
    for site in sites:
        torch.testing.assert_close(one.values[site], many.values[site], atol=1e-5, rtol=1e-4)
        assert one.norms[site].median == pytest.approx(many.norms[site].median, rel=1e-3)
        assert one.norms[site].count == many.norms[site].count


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("how", ["adapters", "dtype"])
def test_a_recording_of_a_model_that_makes_other_numbers_is_refused(how, tmp_path):
    model, tokenizer = fresh()
    outer = with_lora(model)
    adapter, asked = adapt(outer, tokenizer), [Sample("a", "red cup")]
    record(adapter, asked, folder=tmp_path)
    with outer.disable_adapter() if how == "adapters" else nullcontext(outer.to(torch.bfloat16)):
        with pytest.raises(StoreError, match="run_identity"):
            record(adapter, asked, folder=tmp_path)


def test_blocks_are_read_unless_other_sites_are_named(musicgen):
    assert set(record(musicgen, samples()).sites) == {Site("decoder", layer) for layer in range(4)}
    named = record(musicgen, samples(), "decoder.1-2, decoder.0.mlp").sites
    assert set(named) == {Site("decoder", 1), Site("decoder", 2), Site("decoder", 0, "mlp")}


def test_norms_are_of_single_tokens(musicgen):
    found = record(musicgen, samples(), [SITE])
    tokens = record(musicgen, samples(), [SITE], pool="tokens").values[SITE]
    assert found.norms[SITE].median == pytest.approx(float(tokens.norm(dim=-1).median()), rel=0.006)
    assert found.norms[SITE].count == tokens.shape[0] * tokens.shape[1]


def test_shorter_clips_are_not_read_past_their_end(musicgen):
    short, long = samples(1, 0.2)[0], samples(2, 0.4)[1]
    together = record(musicgen, [short, long], [SITE]).values[SITE]
    alone = record(musicgen, [short], [SITE]).values[SITE]
    torch.testing.assert_close(together[0], alone[0], atol=1e-5, rtol=1e-4)


def test_a_stopped_recording_goes_on(musicgen, tmp_path, monkeypatch):
    whole = record(musicgen, samples(), [SITE], batch=2)
    read = type(musicgen).read
    calls = []

    def trip(self, reading, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return read(self, reading, **options)

    monkeypatch.setattr(type(musicgen), "read", trip)
    with pytest.raises(KeyboardInterrupt):
        record(musicgen, samples(), [SITE], batch=2, folder=tmp_path / "store")
    calls.append(1)
    resumed = record(musicgen, samples(), [SITE], batch=2, folder=tmp_path / "store")
    assert len(calls) == 4  # two before, one mark, one after: nothing is read twice
    torch.testing.assert_close(resumed.values[SITE], whole.values[SITE])
    with pytest.raises(StoreError, match="positions"):
        record(musicgen, samples(), [SITE], positions=Positions("first"), folder=tmp_path / "store")


def test_memory_holds_what_a_folder_would(musicgen, tmp_path, monkeypatch):
    sites = select_sites("decoder.*", musicgen.sites)
    kept = record(musicgen, samples(), sites, batch=2, folder=tmp_path)

    def no_disk(*_, **__):
        raise AssertionError("the disk was touched")

    monkeypatch.setattr("os.fsync", no_disk)
    found = record(musicgen, samples(), sites, batch=2)
    assert found.sites == kept.sites
    assert (found.ids, found.source, found.norms) == (kept.ids, kept.source, kept.norms)
    assert all(torch.equal(found.values[site], kept.values[site]) for site in sites)


def test_what_memory_refuses(musicgen):
    with pytest.raises(StoreError, match="each of its own name"):
        record(musicgen, [*samples(1), *samples(2)], [SITE])
    with pytest.raises(StoreError, match="different lengths; pool them"):
        record(musicgen, [samples(1, 0.2)[0], samples(2, 0.4)[1]], [SITE], pool="tokens", batch=1)
    broken = musicgen.module(SITE).register_forward_hook(lambda _module, _args, state: state * torch.nan)
    with broken, pytest.raises(StoreError, match="not finite"):
        record(musicgen, samples(1), [SITE])


def test_readings_show_the_edited_state(musicgen):
    direction = planted(musicgen, "note:C", [2])
    plain = record(musicgen, samples(), [SITE]).values[SITE]
    steering = Steering((Attribute(direction, 3.0, parse_schedule("constant(1)")),))
    with steer(musicgen, steering) as session, session.call(musicgen.reading(samples()).call):
        edited = record(musicgen, samples(), [SITE]).values[SITE]
    torch.testing.assert_close(edited - plain, (3.0 * direction.vectors[SITE]).expand(5, -1), atol=1e-4, rtol=1e-3)


def test_refusals(musicgen):
    with pytest.raises(PositionsError, match=r"'image' select no token of sample 'clip-0'"):
        record(musicgen, samples(), [SITE], positions=Positions("image"))
    with pytest.raises(StoreError, match="no pool 'median'"):
        record(musicgen, samples(), [SITE], pool="median")
    with pytest.raises(StoreError, match="window must last a step"):
        record(musicgen, samples(), [SITE], pool="windows(0.001s)")


def test_rows_are_not_samples(musicgen):
    with pytest.raises(StoreError, match=r"not Row; of rows of `read_rows` give \[row\.sample\(adapter\) for"):
        record(musicgen, [Row("1", "rows.jsonl:1", "a slow melody")], [SITE])


def test_the_data_fingerprint_covers_names_contents_and_texts():
    base = samples(2)
    changed = [
        [replace(base[0], id="other"), base[1]],
        [replace(base[0], output=base[0].output * 1.0001), base[1]],
        [replace(base[0], prompt="a fast melody"), base[1]],
        base[::-1],
    ]
    prints = {data_fingerprint(one) for one in [base, *changed]}
    assert len(prints) == 5
    assert data_fingerprint(samples(2)) == data_fingerprint(base)


def shown(*sizes, answer=None):
    return [
        Sample(f"image-{place}", "describe the image", (picture(size),), answer) for place, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_vl"])
def test_stacks_are_read_together_whatever_their_rows(family, tmp_path_factory):
    adapter = load(save(family, tmp_path_factory.mktemp(family)))
    sites = [Site("text", 1), Site("vision", 1), Site("vision", 1, "mlp"), Site("projector", 0)]
    samples = shown((40, 30), (20, 30), (16, 16))
    found = record(adapter, samples, sites, positions=Positions("image"))
    for site in sites:
        assert found.values[site].shape == (3, adapter.widths[site])
    # One by one by hand: all rows and tokens of the tower are the sample's.
    states = []
    with hooks.readings({adapter.module(sites[1]): states.append}):
        adapter.read(adapter.reading(samples[:1]))
    torch.testing.assert_close(found.values[sites[1]][0], states[0].flatten(0, 1).mean(0), atol=1e-6, rtol=1e-5)
    text = record(adapter, samples, sites[:1], positions=Positions("image")).values[sites[0]]
    torch.testing.assert_close(found.values[sites[0]], text, atol=1e-5, rtol=1e-4)


def test_a_tower_knows_no_time(tmp_path):
    adapter = load(save("llava", tmp_path))
    site = Site("vision", 1)
    whole, window = (record(adapter, shown((16, 16)), [site], positions=Positions(p)) for p in ("all", "0..1steps"))
    assert torch.equal(whole.values[site], window.values[site])


def test_the_data_fingerprint_covers_images_and_answers():
    one, two = picture((8, 8)), picture((8, 9))
    images = [(one,), (two,), (), (one, two), (two, one)]
    prints = {data_fingerprint([Sample("a", "describe", some)]) for some in images}
    prints |= {data_fingerprint([Sample("a", "describe", (one,), answer)]) for answer in ("yes", "no")}
    assert len(prints) == 7
    assert data_fingerprint([Sample("a", "b")]) == data_fingerprint([Sample("a", "b")])


def test_no_logits_are_made_but_those_of_the_last_token(talker, monkeypatch):
    rows, head = [], talker.model.lm_head.forward
    monkeypatch.setattr(talker.model.lm_head, "forward", lambda state: rows.append(state.shape[1]) or head(state))
    read = [Sample("a", "the cup is red"), Sample("b", "blue")]
    record(talker, read, "text.*")
    assert rows == [1]
    assert talker.read(talker.reading(read)).shape[1] == rows[-1] > 1
