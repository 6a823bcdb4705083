import time

import pytest

from evertune.search.memory import estimate_fit_bytes, free_bytes, wait_for_memory

GIGABYTE = 10**9


def written(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2000000 kB\n"}
NEW = {
    "proc/self/cgroup": "0::/box/job\n",
    "sys/fs/cgroup/box/job/memory.max": "max",
    "sys/fs/cgroup/box/memory.max": "1000000000",
    "sys/fs/cgroup/box/memory.current": "900000000",
    "sys/fs/cgroup/box/memory.stat": "file 1\ninactive_file 50000000\n",
}
OLD = {
    "proc/self/cgroup": "4:memory:/box\n0::/\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "1000000000",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "400000000",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [(MACHINE, 2_048_000_000), (MACHINE | NEW, 150_000_000), (MACHINE | OLD, 600_000_000)],
)
def test_the_tightest_limit_decides_what_is_free(tmp_path, files, expected):
    assert free_bytes(written(tmp_path, files)) == expected


def test_where_nothing_is_known_nothing_is_held_back(tmp_path):
    assert free_bytes(tmp_path) > 10**15


def test_a_fit_that_finds_room_is_begun():
    assert wait_for_memory(GIGABYTE, until=0.0, free=lambda: GIGABYTE) is None


def test_a_fit_waits_until_others_have_ended():
    found = iter([0, 0, 2 * GIGABYTE])
    assert wait_for_memory(GIGABYTE, until=time.monotonic() + 60, free=lambda: next(found)) is None


def test_more_rows_and_hungrier_families_need_more():
    def needed(family, n_rows, *, encoded=False):
        return estimate_fit_bytes(
            family, {}, encoded_bytes=240 * n_rows, encoded=encoded, n_rows=n_rows, n_classes=0
        )

    assert needed("lightgbm", 10_000) < needed("lightgbm", 1_000_000)
    assert needed("lightgbm", 100_000) < needed("catboost", 100_000)
    assert needed("linear", 100_000) < needed("extra_trees", 100_000)
    assert needed("linear", 100_000, encoded=True) < needed("linear", 100_000)
