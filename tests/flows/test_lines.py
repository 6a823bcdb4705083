from dataclasses import replace

import pytest

from evertune.monitoring.prediction_log import LabelCounts
from evertune.registry.gates import Verdict
from evertune.registry.overview import ChampionSummary, ProjectStatus
from evertune.registry.runs import LastRun
from evertune.stages.snapshot import Snapshot
from evertune.terminal import labels_line, snapshot_line, status_lines, verdict_line, verdict_page

TAKEN = Snapshot("0123456789", True, 30, None)
DOUBT = Verdict("not enough evidence", ("too close",), 900, version="3", champion="2")
CHAMPION = ChampionSummary(
    "2", "roc_auc", {"accuracy": 0.9, "roc_auc": 0.81234}, "abcdef0123", 7200.0
)
STANDING = ProjectStatus(
    name="churn",
    champion=CHAMPION,
    challenger="3",
    previous=None,
    data="0123456789",
    has_remote=False,
    stale=("fit", "evaluate"),
    last_run=LastRun("id", "search", "FINISHED", 0.0),
)
FRESH = ProjectStatus("churn", None, None, None, None, True, (), None)


@pytest.mark.parametrize(
    ("taken", "line"),
    [
        (TAKEN, "new, 30 rows, version 01234567"),
        (
            replace(TAKEN, changed=False, pushed=True),
            "up to date, 30 rows, version 01234567, copied to the remote",
        ),
        (replace(TAKEN, pushed=False), "new, 30 rows, version 01234567, the remote has it"),
    ],
)
def test_a_snapshot_is_one_line(taken: Snapshot, line: str) -> None:
    assert snapshot_line(taken) == line


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (
            Verdict("promote", ("better", "unseen"), version="3", champion="3"),
            "promote, version 3 is the champion: better; unseen",
        ),
        (
            DOUBT,
            "not enough evidence, version 2 stays champion, version 3 is a challenger: too close"
            " (about 900 hold-out rows would tell)",
        ),
        (
            Verdict("keep", ("worse",), version="1"),
            "keep, version 1 is a challenger and there is no champion: worse",
        ),
    ],
)
def test_a_verdict_is_one_line_that_names_the_champion(verdict: Verdict, line: str) -> None:
    assert verdict_line(verdict) == line


def test_the_page_of_a_verdict_lists_its_reasons() -> None:
    page = verdict_page(DOUBT).splitlines()
    assert page[0] == "# Not enough evidence"
    assert "- too close" in page


def test_the_standing_of_a_project_names_champion_figures_data_and_what_is_stale() -> None:
    assert status_lines(STANDING) == [
        "churn: version 2 is the champion, 2.0 h old",
        "  hold-out: roc_auc 0.8123, accuracy 0.9",
        "  trained on data abcdef01",
        "  version 3 is the challenger",
        "data: 01234567, no remote has a copy",
        "not up to date: fit, evaluate",
        "last run: search, FINISHED",
    ]


def test_a_new_project_has_no_champion_yet() -> None:
    assert status_lines(FRESH) == [
        "churn: no champion yet",
        "data: no snapshot yet",
        "every stage is up to date",
        "last run: none yet",
    ]


def test_an_old_champion_is_counted_in_days() -> None:
    old = replace(STANDING, champion=replace(CHAMPION, age_seconds=10.0 * 86_400))
    assert status_lines(old)[0].endswith("10 days old")


def test_labels_are_counted_case_by_case_and_refusals_told() -> None:
    counts = LabelCounts(new=3, corrected=1, refused=1, faults=("o-7: from the future",))
    assert labels_line(counts).splitlines() == [
        "3 new, 1 corrected, 1 refused",
        "  o-7: from the future",
    ]
    assert labels_line(LabelCounts()) == "no label"
