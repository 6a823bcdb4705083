import pytest

from evertune.config.loader import load_params
from evertune.errors import ParamsError
from evertune.search.check_params import check_search_params

SPACE = """data: {source: sales.csv, target: left}
search:
  space:
    tree: {max_depth: [2, 4]}
    neighbours:
      n_neighbours: [3, 9]
      levels: [odd]
    lightgbm:
      num_leaves: [8.5, 64]
"""


def test_every_fault_of_the_search_space_is_named_with_its_line(tmp_path):
    (tmp_path / "params.yaml").write_text(SPACE)
    load_params(tmp_path)
    with pytest.raises(ParamsError) as caught:
        check_search_params(tmp_path)
    first, *faults = str(caught.value).splitlines()
    assert first.endswith("params.yaml has 3 faults:")
    assert [fault.split(" must be ")[0] for fault in faults] == [
        "  line 6: space of knn",
        "  line 7: space of knn.categorical_encoding",
        "  line 9: space of lightgbm.num_leaves",
    ]
    assert faults[0].endswith("but got ['n_neighbours']. Did you mean 'n_neighbors'?")


@pytest.mark.parametrize("space", ["{}", "{tree: {max_depth: [2, 4]}, svm: {levels: [target]}}"])
def test_a_space_that_can_be_searched_is_no_fault(tmp_path, space):
    (tmp_path / "params.yaml").write_text(
        SPACE.split("search", maxsplit=1)[0] + f"search: {{space: {space}}}\n"
    )
    check_search_params(tmp_path)
