import sys

import pytest

from evertune.models.embedding_mlp import is_installed
from evertune.models.families import fit_encoded
from evertune.search.space import build_space
from evertune.trials import Configuration
from tests.tuning.rows import rows, setting

WORDS = r"embedding_network needs torch.*`pip install evertune\[neural\]`, or leave"


@pytest.fixture
def _no_torch(monkeypatch):
    """Have Python find no torch, whether or not there is one."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("_no_torch")
def test_a_family_whose_library_is_missing_is_not_searched():
    with pytest.raises(ValueError, match=WORDS):
        build_space(["linear", "embedding_network"])


@pytest.mark.usefixtures("_no_torch")
def test_a_family_whose_library_is_missing_is_not_fitted():
    X, y = rows("binary")
    with pytest.raises(ValueError, match=WORDS):
        fit_encoded(Configuration("embedding_network"), X, y, setting("binary"))


@pytest.mark.usefixtures("_no_torch")
def test_other_families_need_no_library_of_their_own():
    assert not is_installed("torch")
    assert list(build_space(["linear"])) == ["linear"]
