import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from evertune.errors import (
    InputError,
    ParamsError,
    ProjectBusyError,
    TableError,
    UnsafeError,
)
from evertune.files import (
    append_line,
    atomic_folder,
    atomic_write,
    digest_files,
    is_project_locked,
    load_function,
    project_lock,
    read_lines,
    read_record,
    read_table,
    remove_path,
    write_record,
    write_table,
    write_table_if_changed,
    write_text,
)

TABLE = pd.DataFrame(
    {
        "plan": pd.Series(["basic", None, ""], dtype="str"),
        "fee": [1.5, np.nan, -0.0],
        "date": pd.to_datetime(["2024-01-31 00:00:00.000001", None, None]),
    }
)


@dataclass(frozen=True)
class Point:
    x: float | None
    tags: tuple[str, ...] = ()


def test_a_table_reads_back_as_it_was(tmp_path):
    write_table(tmp_path / "table.parquet", TABLE)
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), TABLE)


def test_text_float_and_date_columns_keep_their_kinds(tmp_path):
    write_table(tmp_path / "table.parquet", TABLE)
    kinds = read_table(tmp_path / "table.parquet").dtypes.astype(str).tolist()
    assert kinds == ["str", "float64", "datetime64[us]"]


def _noted(table):
    table = table.copy()
    table.attrs["note"] = "x"
    return table


@pytest.mark.parametrize(
    "same",
    [
        TABLE.set_index(pd.Index([7, 8, 9])),
        TABLE.astype({"plan": object}),
        TABLE.rename_axis(columns="name"),
        pd.concat([TABLE.iloc[:1], TABLE.iloc[1:]]),
        _noted(TABLE),
    ],
    ids=["index", "object", "named columns", "pieces", "attributes"],
)
def test_equal_tables_give_equal_bytes(tmp_path, same):
    write_table(tmp_path / "a.parquet", TABLE)
    write_table(tmp_path / "b.parquet", same)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_writing_a_table_does_not_change_it(tmp_path):
    table = _noted(TABLE.set_index(pd.Index([7, 8, 9])))
    write_table(tmp_path / "a.parquet", table)
    assert (table.index[0], table.attrs) == (7, {"note": "x"})


def test_a_folder_with_an_equals_sign_adds_no_column(tmp_path):
    path = tmp_path / "year=2024" / "table.parquet"
    write_table(path, TABLE)
    assert list(read_table(path)) == list(TABLE)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame({"age": [1, "x"]}), "as Parquet: .*age"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "as Parquet: Duplicate column names"),
    ],
)
def test_a_table_that_parquet_cannot_hold_is_refused(tmp_path, table, words):
    with pytest.raises(TableError, match=words):
        write_table(tmp_path / "a.parquet", table)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(TableError, match=r"a\.parquet does not exist; `evertune train`"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"id,plan\n1,basic\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(TableError, match="expected a Parquet file, but"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Point(1.0, ("a", "ä")), Point),
        ((Point(1.0), Point(None)), tuple[Point, ...]),
        ({"b": Point(1e-7), "a": Point(3.0)}, dict[str, Point]),
    ],
)
def test_a_record_reads_back_as_it_was(tmp_path, record, kind):
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json", kind) == record


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), np.float64("nan"), None])
def test_what_is_no_number_reads_back_as_none(tmp_path, figure):
    write_record(tmp_path / "a.json", Point(figure))
    assert read_record(tmp_path / "a.json", Point).x is None


def test_numpy_numbers_are_written_as_numbers(tmp_path):
    write_record(tmp_path / "a.json", {"n": np.int64(3), "x": np.float32(0.5), "b": np.bool_(True)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 3, "x": 0.5, "b": True}


def test_a_record_is_written_sorted_and_indented(tmp_path):
    write_record(tmp_path / "a.json", {"b": 1, "a": (2,)})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'


def test_a_record_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="A record cannot hold <object"):
        write_record(tmp_path / "a.json", {"a": object()})


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.json does not exist"):
        read_record(tmp_path / "a.json", Point)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"x": "1"}', "a.json is not what a step wrote: x: Input should be a valid number"),
        ('{"x": 1', "a.json is not what a step wrote: the file: Invalid JSON"),
    ],
)
def test_a_record_of_another_form_is_refused(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_record(tmp_path / "a.json", Point)


def test_text_is_written_in_utf_8_as_it_is(tmp_path):
    write_text(tmp_path / "a" / "b.md", "ä\r\n")
    assert (tmp_path / "a" / "b.md").read_bytes() == "ä\r\n".encode()


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    write_text(tmp_path / "model" / "old.txt", "old")
    with atomic_folder(tmp_path / "model") as folder:
        write_text(folder / "new.txt", "new")
        assert (tmp_path / "model" / "old.txt").exists()
    assert [found.relative_to(tmp_path).as_posix() for found in tmp_path.rglob("*")] == [
        "model",
        "model/new.txt",
    ]


def test_a_folder_stays_as_it_was_when_the_block_fails(tmp_path):
    write_text(tmp_path / "model" / "old.txt", "old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "model") as folder:
        write_text(folder / "new.txt", str(1 // 0))
    assert [found.name for found in tmp_path.rglob("*")] == ["model", "old.txt"]


def test_what_a_killed_replacement_left_is_cleared(tmp_path):
    write_text(tmp_path / ".model.part" / "half.txt", "half")
    with atomic_folder(tmp_path / "model") as folder:
        write_text(folder / "new.txt", "new")
    assert [found.name for found in (tmp_path / "model").iterdir()] == ["new.txt"]


def test_lines_read_back_as_they_were(tmp_path):
    for line in ("one", "", "zwei ü\u2028"):
        append_line(tmp_path / "a" / "lines", line)
    assert read_lines(tmp_path / "a" / "lines") == ["one", "", "zwei ü\u2028"]


@pytest.mark.parametrize("torn", [b"two", "zwei ü".encode()[:-1], b"x" * 10_000])
def test_a_torn_last_line_is_left_out_and_then_cut_off(tmp_path, torn):
    (tmp_path / "lines").write_bytes(b"one\n" + torn)
    assert read_lines(tmp_path / "lines") == ["one"]
    append_line(tmp_path / "lines", "three")
    assert read_lines(tmp_path / "lines") == ["one", "three"]


@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_file_without_a_whole_line_has_no_lines(tmp_path, content):
    if content is not None:
        (tmp_path / "lines").write_bytes(content)
    assert read_lines(tmp_path / "lines") == []


@pytest.fixture
def import_state():
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in ("own_metrics", "broken_metrics"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("import_state")
def test_a_function_is_loaded_from_the_folder_of_the_project(tmp_path):
    for folder, figure in (("a", 1), ("b", 2)):
        write_text(tmp_path / folder / "own_metrics.py", f"def profit(): return {figure}\n")
    functions = [load_function("own_metrics:profit", tmp_path / folder) for folder in "ab"]
    assert [function() for function in functions] == [1, 2]


@pytest.mark.usefixtures("import_state")
@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("not_there:profit", "cannot import 'not_there': No module named 'not_there'"),
        ("broken_metrics:profit", "cannot import 'broken_metrics': .*line 1"),
        ("own_metrics:profti", "has no function 'profti'. Did you mean 'profit'?"),
        ("own_metrics:PRICE", "has no function 'PRICE'"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_named(tmp_path, reference, words):
    write_text(tmp_path / "own_metrics.py", "PRICE = 3\ndef profit(): return 1\n")
    write_text(tmp_path / "broken_metrics.py", "def profit(:\n")
    with pytest.raises(ParamsError, match=words):
        load_function(reference, tmp_path)


def test_a_digest_does_not_depend_on_where_the_files_lie(tmp_path):
    for folder in ("here", "there/deep"):
        write_text(tmp_path / folder / "a.txt", "one")
        write_text(tmp_path / folder / "core" / "b.py", "two")
    here, there = tmp_path / "here", tmp_path / "there" / "deep"
    assert digest_files([here]) == digest_files([there / "core", there / "a.txt"])


@pytest.mark.parametrize(("name", "text"), [("a.txt", "other"), ("b.txt", "one")])
def test_a_digest_changes_with_a_name_or_a_content(tmp_path, name, text):
    write_text(tmp_path / "before" / "a.txt", "one")
    write_text(tmp_path / "after" / name, text)
    assert digest_files([tmp_path / "before"]) != digest_files([tmp_path / "after"])


def test_compiled_code_does_not_count_in_a_digest(tmp_path):
    write_text(tmp_path / "core" / "a.py", "")
    before = digest_files([tmp_path / "core"])
    write_text(tmp_path / "core" / "__pycache__" / "a.pyc", "x")
    assert digest_files([tmp_path / "core"]) == before


def test_a_digest_of_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt does not exist"):
        digest_files([tmp_path / "a.txt"])


def test_a_file_is_replaced_only_when_all_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"new %d" % (1 // 0))
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path):
    kept, path = tmp_path / "cache", tmp_path / "a.txt"
    kept.write_text("old")
    path.symlink_to(kept)
    with atomic_write(path) as file:
        file.write(b"new")
    assert (path.is_symlink(), kept.read_text()) == (False, "old")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnsafeError, match=r"file/a\.txt cannot be written"):
        atomic_write(tmp_path / "file" / "a.txt").__enter__()


def test_removing_what_is_not_there_does_nothing(tmp_path):
    remove_path(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_told_who_holds_the_project(tmp_path):
    with project_lock(tmp_path, "train"):
        words = rf"'snapshot' cannot start: 'train' \(process {os.getpid()} on .*\) has been runn"
        with pytest.raises(ProjectBusyError, match=words) as refused:
            project_lock(tmp_path, "snapshot").__enter__()
    assert (refused.value.purpose, refused.value.pid) == ("train", os.getpid())


def test_the_owner_of_the_project_can_be_read(tmp_path):
    with project_lock(tmp_path / "state", "train"):
        owner = json.loads((tmp_path / "state" / "run.json").read_text())
    assert (owner["purpose"], owner["pid"]) == ("train", os.getpid())
    assert {"host", "since"} <= owner.keys()
    assert not (tmp_path / "state" / "run.json").exists()


def test_a_process_id_that_was_given_away_again_does_not_hold_the_project(tmp_path):
    (tmp_path / "run.lock").touch()
    owner = {"purpose": "train", "pid": os.getpid(), "host": "here", "since": "2024-11-01"}
    (tmp_path / "run.json").write_text(json.dumps(owner))  # left by a killed run
    assert not is_project_locked(tmp_path)


def test_whether_a_run_holds_the_project_can_be_asked(tmp_path):
    before = is_project_locked(tmp_path)
    with project_lock(tmp_path, "train"):
        during = is_project_locked(tmp_path)
    assert (before, during, is_project_locked(tmp_path)) == (False, True, False)


def test_a_failed_run_frees_the_project(tmp_path):
    with pytest.raises(ZeroDivisionError), project_lock(tmp_path, "train"):
        _ = 1 // 0
    with project_lock(tmp_path, "snapshot"):
        assert "snapshot" in (tmp_path / "run.json").read_text()


def test_a_killed_run_frees_the_project(tmp_path):
    code = "import sys, time, pathlib; from evertune.files import project_lock\n"
    code += "with project_lock(pathlib.Path(sys.argv[1]), 'train'): print(1, flush=True); input()"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        with pytest.raises(ProjectBusyError, match=rf"process {process.pid} on"):
            project_lock(tmp_path, "train").__enter__()
        process.send_signal(signal.SIGKILL)
    assert not is_project_locked(tmp_path)
    with project_lock(tmp_path, "train"):
        assert str(os.getpid()) in (tmp_path / "run.json").read_text()


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(UnsafeError, match=r"state/run\.lock cannot be written"):
        project_lock(tmp_path / "state", "train").__enter__()


def test_an_equal_table_is_not_written_again(tmp_path):
    path = tmp_path / "a.parquet"
    written = [write_table_if_changed(path, table) for table in (TABLE, TABLE, TABLE.head(1))]
    assert written == [True, False, True]
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
