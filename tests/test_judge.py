from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from evertune.data.schema import Column
from evertune.registry import versions
from evertune.registry.decision_log import read_decision_records
from evertune.registry.overview import read_status
from evertune.registry.promotion import open_registry, reject
from evertune.registry.register import register
from tests.registered import SCHEMA, fitted, made, project, store_of, table

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path, state):
    assert state == tmp_path / "state"
    return project(tmp_path)


@pytest.fixture
def bad():
    return fitted(table(60).assign(price=0.0))


def test_a_version_that_was_rolled_back_is_not_promoted_again(root, bad):
    made(root, model=bad)
    register(root)
    made(root, model=fitted(table(60)))
    register(root)
    versions.roll_back_version(store_of(root), "1", over="2")
    verdict = register(root)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert verdict.reasons == ("version 2 was champion and was rolled back to version 1",)


def test_the_same_question_gets_the_same_verdict(root, bad):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=bad)
    assert register(root) == register(root)


def test_rows_that_the_champion_was_trained_on_do_not_judge(root):
    holdout = table(40, first=1000)
    made(root, model=fitted(holdout), holdout=table(40, first=2000))
    register(root)
    made(root, model=fitted(table(60)), holdout=holdout)
    verdict = register(root)
    assert verdict.decision == "not enough evidence"
    assert "40 hold-out rows that one of the two was trained on" in verdict.reasons[0]


def test_a_model_that_knows_the_rows_that_judge_it_is_refused(root, bad):
    made(root, model=bad)
    register(root)
    made(root, model=fitted(pd.concat([table(60), table(40, first=1000).head(10)])))
    verdict = register(root)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert verdict.reasons[0].startswith("it was trained on 10 of the 40 rows that judge it")


def test_an_equal_model_stays_challenger(root):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=fitted(table(60).tail(58)))
    verdict = register(root)
    assert verdict.decision != "promote"
    assert versions.get_champion(store_of(root)).number == "1"


def test_every_comparison_is_a_look_that_asks_for_more_confidence(root):
    worse = [fitted(table(60).assign(price=float(price))) for price in (1, 2)]
    made(root, model=fitted(table(60)))
    register(root)
    found = []
    for model in worse:
        made(root, model=model)
        found += [register(root), register(root)]
    assert [each.look for each in found] == [1, 1, 2, 2]
    assert found[2].confidence == pytest.approx(1 - 2 * 0.05 / 6)


def test_a_version_that_passes_waits_for_a_person_who_may_refuse_it(root, bad):
    made(root, model=bad)
    register(root)
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("{name: houses,", "{name: houses, approval: true,"))
    made(root, model=fitted(table(60)))
    verdict, found = register(root), read_status(root)
    assert (verdict.decision, verdict.waits_for_approval) == ("not enough evidence", True)
    assert (found.champion.version, found.challenger) == ("1", "2")
    reject(root, "2", reason="not before June", by="Ada", now=datetime.now(UTC))
    assert register(root).reasons == ("version 2 was rejected by Ada: not before June",)


def test_a_model_that_is_better_on_average_and_worse_on_a_slice_is_kept_out(root):
    path = root / "params.yaml"
    slices = "{slices: [plan], slice_rows: 10, bootstrap_draws: 100}"
    path.write_text(path.read_text().replace("{bootstrap_draws: 100}", slices))
    rows, holdout = table(60), table(100, first=1000)
    only_a, only_b = (rows[rows["plan"] == plan] for plan in ("a", "b"))
    made(root, model=fitted(only_b.assign(price=only_b["price"] + 20)), holdout=holdout)
    register(root)  # 20 off where the plan is b, and 50 where it is a
    made(root, model=fitted(only_a), holdout=holdout)
    verdict = register(root)  # 30 off where the plan is b, and right where it is a
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert verdict.reasons[0].startswith("worse where plan is b: mae is worse by ")


def test_what_was_decided_is_kept_with_its_evidence_before_the_aliases_move(root, bad):
    made(root, model=bad)
    register(root)
    made(root, model=fitted(table(60)))
    register(root)
    with open_registry(root) as (_, log):
        first, second = read_decision_records(log)
    assert [first.version, second.version, second.rival] == ["1", "2", "1"]
    assert second.aliases_after == {"champion": "2", "previous": "1"}
    assert (second.n_rows, second.n_left_out, second.look) == (40, 0, 1)
    assert {each.name for each in second.tests} == {"paired mae"}


def test_a_champion_for_another_target_is_not_replaced(root):
    rent = replace(fitted(table(60)), schema=replace(SCHEMA, target="rent"))
    made(root, model=rent, holdout=table(40, first=1000).assign(rent=1.0))
    register(root)
    made(root, model=fitted(table(60)))
    (reason,) = register(root).reasons
    assert "it predicts 'rent', not 'price'" in reason


def test_a_model_that_cannot_read_the_rows_never_becomes_champion(root):
    needy = replace(SCHEMA, features=(*SCHEMA.features, Column("rooms", "number")))
    made(root, model=replace(fitted(table(60)), schema=needy))
    verdict = register(root)
    assert (verdict.decision, verdict.champion) == ("not enough evidence", None)
    assert verdict.reasons[0].startswith("it cannot read these rows: ")
