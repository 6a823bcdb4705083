import pytest

from evertune.errors import BusyError
from evertune.registry.mlflow_client import TrackingStore, create_client, open_tracking_store
from evertune.registry.versions import move_aliases, read_aliases

pytestmark = pytest.mark.slow
FIRST = {"champion": "1"}
SECOND = {"champion": "2", "previous": "1"}


@pytest.fixture
def store(state):
    made = open_tracking_store(state, "houses")
    known = create_client(made.address)
    known.create_registered_model("houses")
    for _ in range(3):
        known.create_model_version("houses", "file:///nowhere")
    return made


def test_a_model_that_is_not_registered_has_no_aliases(store: TrackingStore) -> None:
    assert (
        read_aliases(TrackingStore(store.address, store.experiment_id, "other", store.project))
        == {}
    )


def test_aliases_move_and_those_of_a_user_stay(store: TrackingStore) -> None:
    create_client(store.address).set_registered_model_alias("houses", "audited", "1")
    move_aliases(store, before={}, after={**FIRST, "challenger": "2"})
    move_aliases(store, before=FIRST, after=SECOND)
    assert read_aliases(store) == SECOND
    assert create_client(store.address).get_model_version_by_alias("houses", "audited").version in (
        1,
        "1",
    )


def test_aliases_that_moved_half_way_come_to_the_same_end(store: TrackingStore) -> None:
    move_aliases(store, before={}, after={"champion": "2", "challenger": "2"})
    move_aliases(store, before=FIRST, after=SECOND)
    assert read_aliases(store) == SECOND


def test_another_champion_is_not_replaced(store: TrackingStore) -> None:
    move_aliases(store, before={}, after={"champion": "3"})
    with pytest.raises(BusyError, match="expected version 1 of houses to be champion, but it is v"):
        move_aliases(store, before=FIRST, after=SECOND)
    assert read_aliases(store) == {"champion": "3"}


def test_a_champion_that_is_gone_is_told(store: TrackingStore) -> None:
    with pytest.raises(BusyError, match="champion, but it is no version now; nothing was changed"):
        move_aliases(store, before=FIRST, after=SECOND)
