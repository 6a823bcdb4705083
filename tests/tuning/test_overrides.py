import pytest

from evertune.search.default_space import ALL_SPACES, OPTIONAL_PARAMETERS
from evertune.search.space import build_space


@pytest.mark.parametrize(
    ("name", "values"),
    [("pairs", ("none", "both")), ("text", ("words",)), ("levels", ("hashed",))],
)
def test_what_is_asked_for_is_searched_whatever_the_columns(name, values):
    assert build_space(["linear"], {"linear": {name: values}})["linear"][name].values == values


def test_what_narrows_a_space_leaves_the_space_itself_alone():
    build_space(["linear"], {"linear": {"levels": ["target"]}})
    assert "hashed" in ALL_SPACES["linear"]["levels"].values
    assert "both" in OPTIONAL_PARAMETERS["pairs"].values
