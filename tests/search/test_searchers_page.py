"""docs/searchers.md, the schema and the table of searchers say the same."""

from pathlib import Path
from typing import get_args

from evertune.config import schema
from evertune.search.samplers import SEARCHERS, searchers_table

PAGE = Path(__file__).parents[2] / "docs" / "searchers.md"


def test_the_page_has_the_table_of_the_code():
    table = PAGE.read_text().partition("<!-- searchers -->\n")[2].partition("<!-- end -->")[0]
    assert table == searchers_table()


def test_the_parameters_know_every_searcher():
    assert set(get_args(schema.Searcher)) == set(SEARCHERS)
