from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.findings import Decision, Outcome
from pipelines.errors import BusyError, StageError
from pipelines.rollback import rollback
from pipelines.stores import registry
from pipelines.stores.decisions import outcomes, record_outcome
from pipelines.stores.tracking import client, open_store
from tests import production

pytestmark = pytest.mark.slow
NOW = production.day(9)
DECISION = Decision("r", NOW, "churn", "2", "rollback", ("it is worse",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return production.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, made: Path) -> Path:
    """Return a project in which version 2 took the place of version 1, and 3 is challenger."""
    assert state == tmp_path / "state"
    root = production.project(tmp_path)
    for identity in ("1", "2", "3"):
        production.champion(root, made, identity=identity, with_reference=False)
    known = client(open_store(state, "churn").address)
    for alias, number in {"champion": "2", "previous": "1", "challenger": "3"}.items():
        known.set_registered_model_alias("churn", alias, number)
    return root


def aliases(root: Path) -> dict[str, str]:
    store = open_store(root / "state", "churn")
    found = {alias: registry.version_with_alias(store, alias) for alias in registry.ALIASES}
    return {alias: version.number for alias, version in found.items() if version is not None}


def test_the_version_before_is_champion_again_and_the_challenger_stays(root: Path) -> None:
    outcome = rollback(root, DECISION, now=NOW)
    assert (outcome.kind, outcome.version) == ("rolled back", "1")
    assert aliases(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_it_is_recorded_before_and_after(root: Path) -> None:
    rollback(root, DECISION, now=NOW)
    kept = outcomes(production.log_of(root))
    assert [(each.kind, each.version) for each in kept] == [("started", "1"), ("rolled back", "1")]


def test_a_rollback_killed_between_two_aliases_is_finished(root: Path) -> None:
    record_outcome(production.log_of(root), Outcome("r", NOW, "started", "1"))
    client(open_store(root / "state", "churn").address).set_registered_model_alias(
        "churn", "previous", "2"
    )
    rollback(root, DECISION, now=NOW)
    assert aliases(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_a_champion_that_was_not_judged_is_not_replaced(root: Path) -> None:
    with pytest.raises(BusyError, match=r"expected version 3 .* champion, but it is version 2 now"):
        rollback(root, replace(DECISION, champion="3"), now=NOW)
    assert aliases(root)["champion"] == "2"


def test_without_a_version_before_the_champion_stays(root: Path) -> None:
    known = client(open_store(root / "state", "churn").address)
    known.delete_registered_model_alias("churn", "previous")
    with pytest.raises(StageError, match="to go back to, but there is none; the champion stays"):
        rollback(root, DECISION, now=NOW)


def test_a_version_that_cannot_predict_is_not_gone_back_to(root: Path) -> None:
    store = open_store(root / "state", "churn")
    before = registry.version_numbered(store, "1")
    for file in (root / "state" / "artifacts").rglob("model.json"):
        if before.source.rsplit("/", 2)[-2] in file.parts:
            file.write_text("{}")
    with pytest.raises(StageError, match="version 1 of churn to predict its own example, but"):
        rollback(root, DECISION, now=NOW)
    assert outcomes(production.log_of(root)) == ()
