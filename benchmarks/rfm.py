"""Finding directions with a recursive feature machine: mmsteer beside xrfm.

    python benchmarks/rfm.py [--out FOLDER] [--quick | --large]
    python benchmarks/rfm.py --centres [--out FOLDER] [--quick]    100,000 samples in the span of 8,192; xrfm's trees

Both search the same settings on the same split of the same states: a planted direction (or one a class) in noise whose
coordinates differ in scale, a few of them by very much, as in hidden states. xrfm gets the states centred and scaled as
mmsteer scales them, its kernel `l2_high_dim`, and the early stop that MusicRFM runs it with. Every case and tool is a
process of its own, so that memory can be told apart; mmsteer runs before and after xrfm.
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from mmsteer.probes import RFM, Ranges, Setting
from mmsteer.probes.metrics import auc
from mmsteer.probes.rfm_model import Points, fixed_trace, learn
from mmsteer.probes.space import span_of
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode

SEARCH, ROUNDS = 20, 15
LOUD, LOUDNESS = 4, 30.0


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        n: Samples, of which 70 in 100 train.
        d: Width.
        classes: 2 is a binary concept.
        draws: Settings that both try.
        rounds: Most updates of the metric.
        centres: Samples in whose span machines are fitted to all; None for what mmsteer takes.
    """

    n: int
    d: int
    classes: int
    draws: int
    rounds: int = ROUNDS
    centres: int | None = None


QUICK = (Case(300, 512, 2, 2, 3), Case(300, 512, 12, 2, 3))
USUAL = (
    Case(300, 512, 2, 6),
    Case(300, 4096, 2, 2),
    Case(1000, 1024, 2, 3),
    Case(1000, 2048, 2, 2),
    Case(1000, 1024, 12, 1),
    Case(2000, 512, 2, 3),
    Case(4000, 512, 2, 2),
)
# xrfm needs minutes a round here, so both update the metric once.
LARGE = (Case(10_000, 1024, 2, 2, 1), Case(20_000, 512, 2, 2, 1), Case(20_000, 4096, 2, 2, 1))
CENTRED, QUICK_CENTRED = Case(100_000, 512, 2, 2, 1, 8192), Case(1000, 64, 2, 2, 1, 82)
WHOLE = 2 / 7
"""Share of the samples of such a case that the machine beside it is fitted to, with every one a centre."""


def main() -> None:
    options = _options().parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child](Case(**json.loads(options.case)))))
    elif options.centres:
        centres(QUICK_CENTRED if options.quick else CENTRED, options.out)
    else:
        beside_xrfm(QUICK if options.quick else LARGE if options.large else USUAL, options.out)


def centres(case: Case, out: Path) -> None:
    """All samples of a case in the span of some, beside some of them with every one a centre, and xrfm's trees."""
    from report import write_report

    rows = [{"tool": tool} | _child(tool, case) for tool in ("centred", "whole", "trees")]
    print(*write_report("rfm_centres", {"All samples in the span of some": rows}, out, NOTES[-1:]))


def beside_xrfm(cases: Sequence[Case], out: Path) -> None:
    """The search of both tools."""
    # Imported here: a child needs nothing of it.
    from report import Spread, write_report

    rows, equal = [], []
    for case in cases:
        before, theirs, after = (_child(tool, case) for tool in ("mmsteer", "xrfm", "mmsteer"))
        ours, final = (
            [statistics.mean(pair) for pair in zip(before[k], after[k], strict=True)] for k in ("seconds", "final")
        )
        search, their_search = (SEARCH * statistics.mean(each) for each in (ours, theirs["seconds"]))
        search += sum(final)
        rows.append(
            {
                "n": case.n,
                "d": case.d,
                "classes": case.classes,
                "draws": case.draws,
                "updates": case.rounds,
                "mmsteer, s a draw": Spread.of(ours),
                "xrfm, s a draw": Spread.of(theirs["seconds"]),
                "mmsteer, s for the last fit": sum(final),
                f"mmsteer, s for {SEARCH} draws": search,
                f"xrfm, s for {SEARCH} draws": their_search,
                "times faster": their_search / search,
                "AUC, mmsteer": before["auc"],
                "AUC, xrfm": theirs["auc"],
                "peak MB, mmsteer": before["peak_mb"],
                "peak MB, xrfm": theirs["peak_mb"],
            }
        )
        if case.n <= 1000:
            equal.append({"n": case.n, "d": case.d, "classes": case.classes} | _child("agreement", case))
        print(rows[-1], flush=True)
    tables = {"Search": rows, "AGOP at equal settings (4 updates, no early stop)": equal}
    print(*write_report("rfm", {title: found for title, found in tables.items() if found}, out, NOTES))


NOTES = (
    f"A search is {SEARCH} draws; both tools run the draws that the table counts, and the seconds for {SEARCH} are "
    "those times the share. What mmsteer computes once for all draws is in its first draw; where it compares settings "
    "on some of the samples, the last fit is that of the chosen one to all. AUC: held out, of the machine that "
    "validation chose, mean over classes. Peak: resident memory above that of the process with the states in it.",
)


def states_of(case: Case) -> tuple[Tensor, list[Any]]:
    """States with a planted direction a class, and their labels."""
    random = torch.Generator().manual_seed(case.n + case.d + case.classes)
    scale = torch.arange(1, case.d + 1).pow(-0.5) * case.d**0.5 / 4
    scale[:LOUD] *= LOUDNESS
    scale = scale[torch.randperm(case.d, generator=random)]
    noise = torch.randn(case.n, case.d, generator=random) * scale
    count = 1 if case.classes == 2 else case.classes
    truth = torch.linalg.qr(torch.randn(case.d, count, generator=random)).Q.T
    label = torch.randint(0, case.classes, (case.n,), generator=random)
    member = (label[:, None] - 0.5) if case.classes == 2 else torch.nn.functional.one_hot(label, case.classes)
    labels: list[Any] = label.tolist() if case.classes == 2 else [f"class {one:02d}" for one in label.tolist()]
    return noise + 2.0 * member.float() @ truth, labels


def settings_of(case: Case) -> tuple[Setting, ...]:
    """The draws of MusicRFM's search that both tools try."""
    random = np.random.default_rng(0)
    return tuple(Ranges().draw(random) for _ in range(case.draws))


def of_mmsteer(case: Case) -> dict[str, Any]:
    """The search of mmsteer, as its probe runs it."""
    x, labels = states_of(case)
    task = "binary" if case.classes == 2 else "multiclass"
    # Libraries load here.
    RFM(draws=1, iterations=1).fit(x[:60, :8].contiguous(), [row % 2 for row in range(60)], task="binary")
    start = _fresh_peak_mb()
    marks = [time.perf_counter()]
    fitted = RFM(settings=settings_of(case), iterations=case.rounds).fit(
        x, labels, task=task, progress=lambda _: marks.append(time.perf_counter())
    )
    peak = _peak_mb() - start
    seconds = np.diff(marks).tolist()
    targets = encode(labels, task)
    test = split_by_source(targets, None, 0).test
    return {
        "seconds": seconds[: case.draws],
        "final": seconds[case.draws :],
        "peak_mb": peak,
        "auc": _mean_auc(fitted.scores(x[test]), targets.columns[test]),
    }


def centred(case: Case) -> dict[str, Any]:
    """A machine of all samples, in the span of the case's centres."""
    return _fitted(case, None, case.centres)


def whole(case: Case) -> dict[str, Any]:
    """A machine of some of those that the other is not tested on, every one a centre."""
    return _fitted(case, round(WHOLE * case.n), None)


def _fitted(case: Case, count: int | None, centres: int | None) -> dict[str, Any]:
    x, labels = states_of(case)
    targets = encode(labels, "binary")
    split = split_by_source(targets, None, 0)
    rows = torch.arange(case.n) if count is None else split.fitting[:count]
    start, began = _fresh_peak_mb(), time.perf_counter()
    probe = RFM(settings=settings_of(case), iterations=case.rounds, centres=centres)
    fitted = probe.fit(x[rows], [labels[row] for row in rows.tolist()], task="binary")
    return {
        "samples": len(rows),
        "d": case.d,
        "centres": centres or "all that train",
        "settings": case.draws,
        "updates": case.rounds,
        "s": time.perf_counter() - began,
        "AUC": _mean_auc(fitted.scores(x[split.test]), targets.columns[split.test]),
        "peak MB": _peak_mb() - start,
    }


def of_xrfm(case: Case) -> dict[str, Any]:
    """The same search by xrfm."""
    z, columns, split = _prepared(case)
    _xrfm(z[:60, :8], columns[:60], z[:60, :8], columns[:60], Setting(), 1)
    start = _fresh_peak_mb()
    seconds, best, score = [], -1.0, 0.0
    for setting in settings_of(case):
        began = time.perf_counter()
        parts = (z[split.train], columns[split.train], z[split.validation], columns[split.validation])
        model = _xrfm(*parts, setting, case.rounds)
        reached = _mean_auc(model.predict(z[split.validation]), columns[split.validation])
        seconds.append(time.perf_counter() - began)
        if reached > best:
            best, score = reached, _mean_auc(model.predict(z[split.test]), columns[split.test])
    return {"seconds": seconds, "peak_mb": _peak_mb() - start, "auc": score}


def trees(case: Case) -> dict[str, Any]:
    """xrfm's own way with many samples: a tree, each leaf of which has a machine of its own."""
    from xrfm import xRFM

    z, columns, split = _prepared(case)
    leaf = case.n // 10
    start, began, best, score = _fresh_peak_mb(), time.perf_counter(), -1.0, 0.0
    parts = [(z[rows], columns[rows, 0].long()) for rows in (split.train, split.validation)]
    for setting in settings_of(case):
        model = {"kernel": "l2_high_dim", "bandwidth": setting.bandwidth, "exponent": setting.exponent}
        options = {"iters": case.rounds, "reg": setting.ridge, "verbose": False}
        with _quiet():
            tree = xRFM(
                {"model": model, "fit": options}, max_leaf_size=leaf, device="cpu", random_state=0, verbose=False
            ).fit(*parts[0], *parts[1])
            reached, tested = (
                _mean_auc(torch.as_tensor(tree.predict_proba(z[rows]))[:, 1:], columns[rows])
                for rows in (split.validation, split.test)
            )
        if reached > best:
            best, score = reached, tested
    return {
        "samples": case.n,
        "d": case.d,
        "centres": f"leaves of at most {leaf:,}",
        "settings": case.draws,
        "updates": case.rounds,
        "s": time.perf_counter() - began,
        "AUC": score,
        "peak MB": _peak_mb() - start,
    }


def agreement(case: Case) -> dict[str, Any]:
    """Cosine of the two AGOPs after four updates with one setting."""
    z, columns, split = _prepared(case)
    setting = Setting()
    train, held_out = z[split.train], z[split.validation]
    targets = columns[split.train] - columns[split.train].mean(dim=0)
    theirs = _xrfm(train, targets, held_out, columns[split.validation], setting, 4, early_stop=False, metric="mse").M
    found = {}
    for name, normalise, reduce in (("xrfm's", _largest_entry, False), ("mmsteer's", fixed_trace(case.d), True)):
        order = iter(range(1, 9))
        points = Points.of(span_of(train, "absolute", reduce=reduce), train, held_out)
        # The largest entry depends on the coordinates, so nothing may be left out either.
        with contextlib.nullcontext() if reduce else patch("mmsteer.probes.rfm_model.carriers", lambda *_: None):
            machine = learn(points, targets, setting, 4, lambda _, order=order: float(next(order)), normalise)
        found[f"cosine, {name} scale of the metric"] = _cosine(_metric(machine), theirs)
    return found


def _largest_entry(metric: Tensor) -> Tensor:
    """xrfm's scale; it depends on the basis, so nothing may run in the row span."""
    return metric / metric.max().clamp(min=torch.finfo(metric.dtype).tiny)


CHILDREN = {
    "mmsteer": of_mmsteer,
    "xrfm": of_xrfm,
    "agreement": agreement,
    "centred": centred,
    "whole": whole,
    "trees": trees,
}


def _metric(machine: Any) -> Tensor:
    basis = machine.points.space.basis
    return machine.metric if basis is None else basis @ machine.metric @ basis.T


def _cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))


def _prepared(case: Case) -> tuple[Tensor, Tensor, Any]:
    x, labels = states_of(case)
    targets = encode(labels, "binary" if case.classes == 2 else "multiclass")
    split = split_by_source(targets, None, 0)
    return span_of(x[split.train], "median", reduce=False).enter(x)[0], targets.columns.float(), split


def _xrfm(
    x: Tensor,
    y: Tensor,
    held_out: Tensor,
    truth: Tensor,
    setting: Setting,
    rounds: int,
    *,
    early_stop: bool = True,
    metric: str = "auc",
) -> Any:
    with _quiet():
        from xrfm.rfm_src import RFM as Theirs
        from xrfm.rfm_src.class_conversion import ClassificationConverter

        converter = ClassificationConverter(mode="zero_one", n_classes=max(2, y.shape[1]))
        model = Theirs(
            "l2_high_dim",
            bandwidth=setting.bandwidth,
            exponent=setting.exponent,
            device="cpu",
            verbose=False,
            tuning_metric=metric,
            class_converter=converter,
        )
        model.fit(
            (x, y),
            (held_out, truth),
            iters=rounds,
            reg=setting.ridge,
            center_grads=setting.centre,
            early_stop_rfm=early_stop,
            return_best_params=early_stop,
            get_agop_best_model=early_stop,
            verbose=False,
        )
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _mean_auc(scores: Tensor, truth: Tensor) -> float:
    return statistics.mean(auc(scores[:, k], truth[:, k]) for k in range(truth.shape[1]))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _fresh_peak_mb() -> float:
    """Forget the peak so far, which making the states may have set, where the kernel can."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _peak_mb()


def _child(tool: str, case: Case) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", tool, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tool} at {case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="two small cases, half a minute")
    size.add_argument("--large", action="store_true", help="10,000 and 20,000 samples, half an hour")
    parser.add_argument("--centres", action="store_true", help="100,000 samples in the span of 8,192, 7 minutes")
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
