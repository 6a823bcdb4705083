import pytest
from prefect.states import Failed

from flows.train import is_busy
from pipelines.errors import BusyError, EvertuneError, TableError


@pytest.mark.parametrize(("failure", "again"), [(BusyError("full"), True), (TableError(""), False)])
def test_only_what_may_pass_is_tried_again(failure: EvertuneError, again: bool) -> None:
    assert is_busy(None, None, Failed(data=failure)) is again
