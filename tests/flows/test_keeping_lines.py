from datetime import UTC, datetime

from evertune.registry.gc import CollectionResult, SpaceUsage
from evertune.registry.overview import VersionSummary
from evertune.registry.reproduce import ComparisonRow, Reproduction, text_row
from evertune.terminal import comparison_lines, gc_lines, model_lines

SAME = ComparisonRow("hold-out mae", "1.5", "1.5", 0.0, 1e-6, equal=True)
OTHER = text_row("members", "linear 1", "tree 1")


def test_a_version_that_was_made_again_is_said_to_be():
    assert comparison_lines(Reproduction("7", (SAME,)))[-1] == (
        "version 7 was made again: nothing differs"
    )


def test_what_differs_is_marked_in_its_row_and_counted():
    lines = comparison_lines(Reproduction("7", (SAME, OTHER)))
    assert [line.split()[0] for line in lines[1:3]] == ["ok", "DIFFERS"]
    assert lines[-1] == "version 7 was not made again: 1 of 2 differ"


def test_versions_are_a_table():
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    data = {"source": "0123456789abcdef"}
    found = VersionSummary("2", ("champion",), moment, "roc_auc", "0.91", data, "tune")
    assert model_lines((found,))[1].split() == [
        "2", "champion", "2026-01-02", "03:04", "roc_auc", "0.91", "01234567", "tune",
    ]  # fmt: skip


def test_without_versions_a_person_is_told_how_to_make_one():
    assert model_lines(()) == ["no version yet; `evertune train` makes one"]


def test_what_is_freed_and_what_is_kept_is_told_by_its_reason():
    found = CollectionResult(
        (SpaceUsage("old", 2, 1.5), SpaceUsage("older", 1, 1.0)),
        (SpaceUsage("version a 1", 3, 4.0),),
    )
    assert gc_lines(found, "freed") == [
        "freed 2.5 MB:",
        "  1.5 MB in 2: old",
        "  1.0 MB in 1: older",
        "kept 4.0 MB in DVC's store:",
        "  4.0 MB in 3: version a 1",
    ]
