"""One adapter a family, loaded once."""

import pytest

from mmsteer.adapters import LanguageModelAdapter, load
from tests.adapters.checkpoints import save
from tests.releases import skip_where_faulty


@pytest.fixture(scope="session")
def families(tmp_path_factory):
    """A function from a family's name to its adapter."""
    loaded: dict[str, LanguageModelAdapter] = {}

    def adapter(name: str) -> LanguageModelAdapter:
        skip_where_faulty(name)
        if name not in loaded:
            loaded[name] = load(save(name, tmp_path_factory.mktemp(name)))
        return loaded[name]

    return adapter


@pytest.fixture(scope="session")
def llava(families) -> LanguageModelAdapter:
    return families("llava")
