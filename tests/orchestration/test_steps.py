import errno
import os

import pytest

from evertune.errors import UnsafeError
from evertune.orchestration.steps import Step, perform_here


def failing(number):
    def run():
        raise OSError(number, os.strerror(number), "model.bin")

    return Step("fit", run, str)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_nothing_more_is_one_sentence(number):
    with pytest.raises(UnsafeError, match=r"'fit' could not write \(model.bin\): .* Make room"):
        perform_here(failing(number), lambda *_: None)


def test_another_fault_of_the_system_is_not_taken_for_a_full_disk():
    with pytest.raises(FileNotFoundError):
        perform_here(failing(errno.ENOENT), lambda *_: None)
