from dataclasses import dataclass

import pytest

from evertune.database import read_record
from evertune.database.tables import JSONRecord
from evertune.errors import StageError


@dataclass
class Record:
    name: str
    gain: float | None


def stored(record):
    return JSONRecord().process_bind_param(record, None)


def test_a_record_is_read_as_it_was_and_its_infinities_as_unknown():
    assert read_record(stored(Record("a", float("inf"))), Record, name="a") == Record("a", None)
    assert read_record(stored({"a": 1.5}), dict[str, float], name="a") == {"a": 1.5}


def test_a_record_of_release_0_1_has_no_version():
    assert read_record('{"name":"a","gain":1.0}', Record, name="a") == Record("a", 1.0)


def test_a_record_of_a_newer_release_is_refused():
    newer = stored(Record("a", 1.0)).replace('"schema_version":1', '"schema_version":2')
    with pytest.raises(StageError, match=r"schema_version 2, but this Evertune reads 1"):
        read_record(newer, Record, name="the decision 'a'")


def test_a_record_that_cannot_be_read_is_named():
    with pytest.raises(StageError, match=r"The record of the decision 'a' .* gain: Field required"):
        read_record('{"name":"a"}', Record, name="the decision 'a'")
