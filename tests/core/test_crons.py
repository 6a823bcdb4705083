import re

import pytest

from evertune.config.checks import cron_error


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "0 6 * * *", "*/15 6-20/2 1,15 jan-mar MON", "0 0 31 12 7", "5 4 * * sun,sat"],
)
def test_a_schedule_that_schedulers_read_is_fine(text):
    assert cron_error(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 6 * *", r"expected five fields \(minute, .*\), but got 4"),
        ("60 * * * *", "the minute must be from 0 to 59, but is '60'"),
        ("0 24 * * *", "the hour"),
        ("0 0 0 * *", "the day of the month"),
        ("0 0 1 13 *", "the month"),
        ("0 0 * * 8", "the day of the week"),
        ("0 0 * * may", "the day of the week"),
        ("5-1 * * * *", "the minute"),
        ("5/2 * * * *", "the minute"),
        ("*/0 * * * *", "the minute"),
        ("1,,2 * * * *", "the minute"),
        ("-1 * * * *", "the minute"),
        ("² * * * *", "the minute"),
    ],
)
def test_a_fault_of_a_schedule_names_the_field(text, words):
    assert re.search(words, str(cron_error(text)))
