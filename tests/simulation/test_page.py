from datetime import timedelta
from html.parser import HTMLParser

import pytest

from evertune.simulation.results import (
    ReplayEvent,
    ReplayResult,
    UnitCosts,
    render_replay_page,
    summarize_policies,
)
from tests.simulation.test_results import LOOP, ORACLE, START


def page(*played: ReplayResult, title: str = "electricity") -> str:
    prices = UnitCosts(fit=2)
    found = summarize_policies(played, prices=prices)
    return render_replay_page(played, found, title=title, prices=prices)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def test_every_policy_has_a_line_and_every_event_but_the_first_training_a_dot():
    drawn = Elements(page(LOOP, ORACLE))
    assert (len(drawn.of("polyline")), len(drawn.of("circle"))) == (2, 6)


def test_a_window_without_rows_has_no_point():
    (line, _) = Elements(page(LOOP, ORACLE)).of("polyline")
    assert len(line["points"].split()) == 2


def test_a_greater_loss_lies_higher():
    (line, _) = Elements(page(LOOP, ORACLE)).of("polyline")
    first, second = [float(point.split(",")[1]) for point in line["points"].split()]
    assert second < first


def test_the_page_needs_no_other_file():
    drawn = Elements(page(LOOP, ORACLE))
    assert not [a for _, a in drawn.found if "src" in a or "href" in a]


def test_what_was_played_cannot_become_markup():
    told = ReplayResult(
        "loop", LOOP.losses, (ReplayEvent(START, "refused", detail="<script>alert(1)"),)
    )
    assert "<script" not in page(told, title="<script>")


def test_an_event_after_the_last_window_stays_on_the_picture():
    late = ReplayResult(
        "loop", LOOP.losses, (ReplayEvent(START + timedelta(days=900), "promoted"),)
    )
    (dot,) = Elements(page(late)).of("circle")
    assert float(dot["cx"]) == 920


def test_a_new_champion_is_an_upright_line():
    upright = [a for a in Elements(page(LOOP)).of("line") if a["x1"] == a["x2"]]
    turns = [dot["cx"] for dot in Elements(page(LOOP)).of("circle")][2::3]
    assert [line["x1"] for line in upright] == turns


def test_what_is_told_beside_the_oracle_needs_one():
    assert "<th>Excess</th>" in page(LOOP, ORACLE)
    assert "<th>Excess</th>" not in page(LOOP)


def test_the_last_date_ends_with_the_picture():
    dates = [a["text-anchor"] for a in Elements(page(LOOP)).of("text") if "text-anchor" in a]
    assert dates.count("middle") == 4


def test_nothing_played_is_refused():
    with pytest.raises(ValueError, match="'played' must have a window"):
        render_replay_page([], [], title="", prices=UnitCosts())
