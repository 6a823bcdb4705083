import pytest
from prefect.states import Failed

from evertune.errors import BusyError, EvertuneError, TableError
from evertune.orchestration.tasks import is_busy


@pytest.mark.parametrize(("failure", "again"), [(BusyError("full"), True), (TableError(""), False)])
def test_only_what_may_pass_is_tried_again(failure: EvertuneError, again: bool) -> None:
    assert is_busy(None, None, Failed(data=failure)) is again
