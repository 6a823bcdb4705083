from datetime import UTC, datetime, timedelta

import pytest

from evertune.monitoring.report import HEIGHT, LEFT, TOP, WIDTH, ChartPoint, draw_chart

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [START + timedelta(days=n) for n in range(5)]


def drawn(points, **more):
    return draw_chart("loss", points, start=DAYS[0], end=DAYS[-1], **more)


def test_time_runs_from_left_to_right_and_greater_is_higher():
    first, last = drawn([ChartPoint(DAYS[0], 1.0), ChartPoint(DAYS[-1], 2.0)]).dots
    assert (first.x, last.x) == (LEFT, WIDTH)
    assert TOP < last.y < first.y < HEIGHT


def test_a_window_without_data_is_a_gap_and_no_dot():
    found = drawn([ChartPoint(DAYS[0], 1.0), ChartPoint(DAYS[2], None), ChartPoint(DAYS[4], 3.0)])
    assert found.gaps == ((LEFT + WIDTH) / 2,)
    assert (len(found.lines), len(found.dots)) == (2, 2)


def test_where_nothing_is_known_there_is_no_picture():
    assert drawn([ChartPoint(DAYS[0], None)]) is None


@pytest.mark.parametrize("threshold", [-5.0, 100.0])
def test_a_threshold_lies_within_the_picture(threshold):
    assert TOP <= drawn([ChartPoint(DAYS[0], 1.0)], threshold=threshold).threshold <= HEIGHT


def test_intervals_become_a_band_that_goes_there_and_back():
    points = [ChartPoint(day, 1.0, 0.5, 1.5) for day in DAYS[:2]]
    assert len(drawn(points).bands[0].split()) == 4


def test_what_grows_by_factors_is_drawn_by_its_logarithm():
    points = [ChartPoint(day, 10.0**n) for n, day in enumerate(DAYS[:3])]
    low, middle, high = drawn(points, logarithmic=True).dots
    assert low.y - middle.y == pytest.approx(middle.y - high.y, abs=0.2)


def test_a_dot_says_when_how_much_how_sure_and_in_which_state():
    dot = drawn([ChartPoint(DAYS[0], 0.25, 0.2, 0.3, "breach", "too few")]).dots[0]
    assert dot.title == "2024-01-01 00:00: 0.25 (0.2 to 0.3), breach. too few"
