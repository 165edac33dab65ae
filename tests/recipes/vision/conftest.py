import pytest

from tests.adapters.checkpoints import save
from tests.recipes.vision.layouts import write_coco


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def public(tmp_path_factory):
    """A folder in the public layouts: coco/, pope/, vti/."""
    return write_coco(tmp_path_factory.mktemp("public"))
