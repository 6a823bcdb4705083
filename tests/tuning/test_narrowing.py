import pytest

from evertune.data.schema import Column
from evertune.search.space import build_space

TEXT = Column("note", "text")
MANY = Column("city", "category", tuple(f"c{n}" for n in range(31)))
FEW = Column("plan", "category", ("a", "b"))


@pytest.mark.parametrize(("columns", "searched"), [([], False), ([FEW], False), ([TEXT], True)])
def test_ways_to_read_texts_are_searched_where_there_are_texts(columns, searched):
    assert ("text" in build_space(["linear"], columns=columns)["linear"]) == searched


@pytest.mark.parametrize(("columns", "searched"), [([], False), ([FEW], False), ([MANY], True)])
def test_a_hash_is_searched_where_a_category_has_many_levels(columns, searched):
    assert (
        "hashed" in build_space(["lightgbm"], columns=columns)["lightgbm"]["levels"].values
    ) == (searched)


@pytest.mark.parametrize(("n_numbers", "searched"), [(0, False), (1, False), (2, True)])
def test_products_are_searched_where_there_are_two_numbers(n_numbers, searched):
    columns = [FEW, *(Column(f"x{n}", "number") for n in range(n_numbers))]
    found = build_space(["linear", "lightgbm"], columns=columns)
    assert ("pairs" in found["linear"], "pairs" in found["lightgbm"]) == (searched, False)
