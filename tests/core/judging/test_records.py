import pytest

from evertune.registry.records import (
    aliases_after_promotion,
    aliases_after_rollback,
    aliases_with_challenger,
    holdout_fingerprint,
    make_record_id,
)

STANDING = {"champion": "2", "previous": "1", "challenger": "3"}


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ({}, "1", {"champion": "1"}),
        ({"challenger": "1"}, "1", {"champion": "1"}),
        (STANDING, "3", {"champion": "3", "previous": "2"}),
        (STANDING, "4", {"champion": "4", "previous": "2"}),
        (STANDING, "1", {"champion": "1", "previous": "2", "challenger": "3"}),
        (STANDING, "2", STANDING),
    ],
)
def test_a_promotion_sets_previous_and_removes_a_challenger_that_is_not_newer(
    before, version, after
):
    assert aliases_after_promotion(before, version) == after


@pytest.mark.parametrize(
    ("version", "after"), [("4", {**STANDING, "challenger": "4"}), ("2", STANDING)]
)
def test_a_refused_version_is_challenger_until_the_next_one(version, after):
    assert aliases_with_challenger(STANDING, version) == after


@pytest.mark.parametrize(
    ("version", "after"),
    [
        ("1", {"champion": "1", "previous": "2", "challenger": "3"}),
        ("3", {"champion": "3", "previous": "2"}),
        ("2", STANDING),
    ],
)
def test_a_rollback_leaves_another_challenger(version, after):
    assert aliases_after_rollback(STANDING, version) == after


def test_the_id_tells_evidence_apart():
    def made(**changed):
        given = {"model": "churn", "version": "2", "evidence": ["promote", "1"], **changed}
        return make_record_id("gate", **given)

    others = {made(model="sales"), made(version="3"), made(evidence=["keep", "1"])}
    assert made() == made()
    assert len({made(), *others}) == 4


def test_the_fingerprint_is_that_of_the_rows_in_any_order():
    assert holdout_fingerprint(["b", "a"]) == holdout_fingerprint(["a", "b"])
    assert holdout_fingerprint(["a"]) != holdout_fingerprint(["a", "b"])
