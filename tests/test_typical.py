"""Typical norms of directions that came without them."""

from dataclasses import replace

import pytest

from mmsteer import Sample
from mmsteer.errors import DirectionError
from mmsteer.types import SiteStats
from mmsteer.typical import with_typical_norms
from tests.conftest import planted


def test_no_samples_are_not_the_built_in_sentences(talker):
    direction = planted(talker, "a", [1])
    bare = replace(direction, stats=dict.fromkeys(direction.sites, SiteStats(None, 0.0, 0.0, 0.0, None, 2.0)))
    with pytest.raises(DirectionError, match="no samples to measure typical norms on"):
        with_typical_norms(talker, bare, [])
    measured = with_typical_norms(talker, bare, [Sample("a", "say the red cup")])
    assert measured.is_measured
    assert not bare.is_measured
