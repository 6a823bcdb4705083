import threading

import pytest
from sqlalchemy import Text, type_coerce

from evertune.database import DECISIONS, OUTCOMES, write_transaction
from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.errors import StageError
from evertune.registry.decision_log import (
    claim,
    read_decisions,
    read_outcomes,
    read_unclaimed_decisions,
    record_decision,
    record_outcome,
)
from evertune.times import TimeWindow
from tests.logs import day


def decision(identity, action="retune", number=0, **more):
    return MonitoringDecision(
        identity, day(number), "churn", "3", action, ("the loss rose",), **more
    )


def test_a_decision_comes_back_with_its_evidence(log):
    finding = Finding("loss", "performance", TimeWindow(day(0), day(1), 50), 0.25, low=0.2)
    alarm = Alarm("loss-rises", "retune", "loss", 0.25, None, day(0), "it rose", (finding,))
    full = decision("d1", alarms=(alarm,), change_from=day(0), cost=1.5)
    assert record_decision(log, full)
    assert read_decisions(log) == (full,)


def test_a_decision_made_again_is_recorded_once(log):
    first = decision("d1")
    assert [record_decision(log, one) for one in (first, decision("d1", "refit"))] == [True, False]
    assert read_decisions(log) == (first,)


def test_decisions_stand_oldest_first_and_since_a_moment(log):
    for number in (2, 1, 3):
        record_decision(log, decision(f"d{number}", number=number))
    assert [one.id for one in read_decisions(log)] == ["d1", "d2", "d3"]
    assert [one.id for one in read_decisions(log, since=day(2))] == ["d2", "d3"]


def test_a_decision_is_claimed_once(log):
    assert [claim(log, "d1", by=run, moment=day(0)) for run in ("a", "b", "a")] == [
        True,
        False,
        False,
    ]


def test_of_many_claimers_at_once_one_gets_the_decision(log):
    taken, start = [], threading.Barrier(8)

    def try_it(number):
        start.wait()
        taken.append(claim(log, "d1", by=str(number), moment=day(0)))

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_what_has_to_be_done_and_nobody_claimed_is_unserved(log):
    for number, action in enumerate(["nothing", "block", "refit", "retune", "rollback"]):
        record_decision(log, decision(f"d{number}", action, number))
    claim(log, "d3", by="run", moment=day(5))
    assert [one.action for one in read_unclaimed_decisions(log)] == ["refit", "rollback"]


def test_outcomes_stand_in_the_order_in_which_they_came(log):
    started, refused = (DecisionOutcome("d1", day(1), kind, "4") for kind in ("started", "refused"))
    for outcome in (started, refused, started):
        record_outcome(log, outcome)
    assert read_outcomes(log) == (started, refused)


def update(table, text):
    return table.update().values(record=type_coerce(text, Text))


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 3}'])
def test_a_decision_that_cannot_be_read_is_named(log, text):
    record_decision(log, decision("d1", "retune", 0))
    with write_transaction(log) as connection:
        connection.execute(update(DECISIONS, text).where(DECISIONS.c.model == log.model))
    for read in (read_decisions, read_unclaimed_decisions):
        with pytest.raises(StageError, match=r"the decision 'd1' of model-.* cannot be read"):
            read(log)


def test_an_outcome_that_cannot_be_read_is_named(log):
    record_outcome(log, DecisionOutcome("d1", day(0), "promoted", "4"))
    with write_transaction(log) as connection:
        connection.execute(update(OUTCOMES, "{}").where(OUTCOMES.c.model == log.model))
    with pytest.raises(
        StageError, match=r"the decision 'd1' of model-.* cannot be read: decision_id"
    ):
        read_outcomes(log)
