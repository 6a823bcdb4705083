import pytest

from evertune import errors


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (errors.EvertuneError, 1),
        (errors.InputError, 2),
        (errors.ParamsError, 2),
        (errors.TableError, 2),
        (errors.StageError, 4),
        (errors.BusyError, 75),
        (errors.UnsafeError, 78),
    ],
)
def test_a_failure_has_the_exit_code_of_its_kind(kind, exit_code):
    assert kind("what went wrong").exit_code == exit_code


def test_a_busy_project_is_busy():
    error = errors.ProjectBusyError("in use", purpose="train", pid=7)
    assert (error.exit_code, error.purpose, error.pid) == (75, "train", 7)
    assert isinstance(error, errors.BusyError)


def test_every_failure_can_be_caught_as_one_kind():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, errors.EvertuneError | Warning) for kind in kinds)
