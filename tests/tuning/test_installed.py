import sys

import pytest

from evertune.search.space import build_space


@pytest.fixture
def _no_torch(monkeypatch):
    """Have Python find no torch, whether or not there is one."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("_no_torch")
def test_a_family_whose_library_is_missing_is_not_searched():
    with pytest.raises(ValueError, match=r"embedding_network needs torch.*or leave"):
        build_space(["linear", "embedding_network"])
    assert list(build_space(["linear"])) == ["linear"]
