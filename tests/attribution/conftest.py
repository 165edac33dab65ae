from tests.steering.seeing import llava  # noqa: F401  a fixture
