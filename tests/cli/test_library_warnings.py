import subprocess
import sys
import warnings

import pandas as pd
import pytest

from evertune.errors import EvertuneWarning
from evertune.messages import without_library_warnings

FRAGMENTED = """
import warnings
import pandas as pd
from evertune.errors import EvertuneWarning
from evertune.messages import without_library_warnings

with without_library_warnings():
    table = pd.DataFrame({"x": [1]})
    for n in range(200):
        table[str(n)] = 1
    warnings.warn("ours", EvertuneWarning)
"""


@pytest.mark.parametrize(("options", "foreign"), [([], False), (["-W", "default"], True)])
def test_warnings_of_libraries_are_shown_only_if_python_is_asked_for_them(options, foreign):
    done = subprocess.run(
        [sys.executable, *options, "-c", FRAGMENTED], capture_output=True, text=True, check=True
    )
    assert "EvertuneWarning: ours" in done.stderr
    assert ("PerformanceWarning" in done.stderr) == foreign


def test_the_filters_are_as_before_afterwards():
    before = list(warnings.filters)
    with without_library_warnings():
        pass
    assert warnings.filters == before
    with pytest.warns(pd.errors.PerformanceWarning):
        warnings.warn("fragmented", pd.errors.PerformanceWarning, stacklevel=1)
    assert issubclass(EvertuneWarning, UserWarning)
