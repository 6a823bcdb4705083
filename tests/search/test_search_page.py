"""docs/search.md and the table of families say the same."""

from pathlib import Path

from evertune.search.space import spaces_table

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


def test_the_page_has_the_ranges_of_the_code():
    table = PAGE.read_text().partition("<!-- spaces -->\n")[2].partition("<!-- end -->")[0]
    assert table == spaces_table()
