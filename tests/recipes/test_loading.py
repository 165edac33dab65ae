import pytest

from mmsteer.errors import RecipeError
from mmsteer.recipes.loading import load_document


@pytest.fixture
def family(tmp_path):
    (tmp_path / "base.yaml").write_text("a: 1\nb: {c: 2, d: [1, 2]}\n")
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\n\nb: {c: 3}\ne: 4\n")
    return child


def test_a_recipe_is_laid_over_what_it_extends(family):
    document = load_document(family)
    assert document.data == {"a": 1, "b": {"c": 3, "d": [1, 2]}, "e": 4}
    assert str(document.mark(("b", "c"))) == f"{family}:3"
    assert str(document.mark(("b", "d"))) == f"{family.parent / 'base.yaml'}:2"


def test_overrides_come_last(family):
    document = load_document(family, ["b.c=0.5", "b.d.1=x", "f.g=[1, C#]", "e="])
    assert document.data == {"a": 1, "b": {"c": 0.5, "d": [1, "x"]}, "e": None, "f": {"g": [1, "C#"]}}
    assert str(document.mark(("b", "c"))) == "command line, b.c=0.5"


@pytest.mark.parametrize("line", ["b.c", "=1", "b..c=1", "b.d.9=1", "b.d.x=1", "a.b=1", "b.c=[", "b.c=&x 1"])
def test_wrong_overrides_are_refused(family, line):
    with pytest.raises(RecipeError):
        load_document(family, [line])


def test_a_circle_is_refused(tmp_path):
    (tmp_path / "one.yaml").write_text("extends: two.yaml\n")
    (tmp_path / "two.yaml").write_text("extends: one.yaml\n")
    with pytest.raises(RecipeError, match="circle"):
        load_document(tmp_path / "one.yaml")


@pytest.mark.parametrize("text", ["- a\n", "extends: 3\n", "extends: nothing.yaml\n"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"x\.yaml|nothing"):
        load_document(path)


def test_a_misspelt_name_is_understood():
    with pytest.raises(RecipeError, match="did you mean 'one-note'"):
        load_document("one-nott")


@pytest.mark.parametrize(
    "line", ["conditions.²=1", "a=" + '"\\UFFFFFFFF"', "a." * 200 + "b=1", "conditions." + "9" * 5000 + "=1"]
)
def test_overrides_that_are_no_places_and_no_values_are_refused(line):
    with pytest.raises(RecipeError) as caught:
        load_document("demo", [line])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 5000, "a\0b", "."])
def test_names_that_no_file_has_are_refused(name):
    with pytest.raises(RecipeError, match="no recipe") as caught:
        load_document(name)
    assert len(str(caught.value)) < 500
