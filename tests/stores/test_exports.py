import pandas as pd

from evertune.monitoring.prediction_log import read_log, write_log_parquet
from tests.logs import CLASSES, append, day, ids, label, logged


def exported(log, folder, **window):
    named = {"start": None, "end": None} | window
    count = write_log_parquet(log, folder / "log.parquet", classes=CLASSES, **named)
    return count, pd.read_parquet(folder / "log.parquet")


def test_the_file_is_the_logged_frame_with_inputs(log, tmp_path):
    append(log, logged("a", day(1)), logged("b", day(2), identifier="c1"))
    label(log, ("a", "no", 5), ("a", "yes", 6))
    count, frame = exported(log, tmp_path)
    assert count == 2
    pd.testing.assert_frame_equal(
        frame, read_log(log, None, None, classes=CLASSES, with_inputs=True)
    )


def test_an_empty_log_is_a_file_of_no_rows(log, tmp_path):
    count, frame = exported(log, tmp_path)
    assert (count, len(frame), list(frame)[-1]) == (0, 0, "inputs")


def test_a_window_can_be_exported_alone(log, tmp_path):
    append(log, *(logged(str(number), day(number)) for number in range(4)))
    count, frame = exported(log, tmp_path, start=day(1), end=day(3))
    assert (count, frame["id"].tolist()) == (2, ["1", "2"])


def test_no_row_is_lost_or_doubled_where_two_parts_meet(log, tmp_path):
    append(log, *(logged(identity) for identity in ids(10_005)))
    label(log, *((identity, "yes", number) for identity in ids(5) for number in (1, 2)))
    count, frame = exported(log, tmp_path)
    assert (count, frame["id"].nunique(), len(frame)) == (10_005, 10_005, 10_005)
