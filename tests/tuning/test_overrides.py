import pytest

from pipelines.tuning.ranges import KNOWN, ON_REQUEST
from pipelines.tuning.spaces import space


@pytest.mark.parametrize(
    ("name", "values"),
    [("pairs", ("none", "both")), ("text", ("words",)), ("levels", ("hashed",))],
)
def test_what_is_asked_for_is_searched_whatever_the_columns(name, values):
    assert space(["linear"], {"linear": {name: values}})["linear"][name].values == values


def test_what_narrows_a_space_leaves_the_space_itself_alone():
    space(["linear"], {"linear": {"levels": ["target"]}})
    assert "hashed" in KNOWN["linear"]["levels"].values
    assert "both" in ON_REQUEST["pairs"].values
