"""Detectors of two models' texts, each judged on the texts of both."""

from shared import Result, Study
from texts import NO_MODEL, TREES, Texts, auc_of, difference, fitted, read_texts

import mmsteer

INPUTS = {"surface": TREES, "features": TREES, "random features": TREES, "states": "logistic probe"}


def two_writers(study: Study, own: Texts) -> Result:
    """Text of people told from the model's own and from another's, with what was learned from either."""
    assert study.other
    texts = {"own": own, "other": read_texts(study, mmsteer.load(study.other), own.drawn)}
    return {
        "texts": {name: {"all": len(some.test), "test": int(some.test.sum())} for name, some in texts.items()},
        **{
            f"from {learned} to {judged}": {site: _moved(texts[learned], texts[judged], site) for site in own.inputs}
            for learned in texts
            for judged in texts
        },
    }


def _moved(learned: Texts, judged: Texts, site: str) -> Result:
    """Detectors on each input of a site, fitted on some texts and judged on others."""
    y, x = judged.y[judged.test], judged.inputs[site]
    found = {
        what: fitted(INPUTS[what], some, learned.y, learned.test, x[what][judged.test])
        for what, some in learned.inputs[site].items()
        if what in INPUTS
    }
    result: Result = {what: auc_of(one, y) for what, one in found.items()}
    if site != NO_MODEL:
        result["features - random features"] = difference(found["features"][1], found["random features"][1], y)
    return result
