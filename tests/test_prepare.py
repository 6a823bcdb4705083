from pathlib import Path

import pandas as pd
import pytest

from pipelines.core.schema import Schema
from pipelines.errors import TableError
from pipelines.params import load_params
from pipelines.prepare import run
from pipelines.sections import Data
from pipelines.stores.files import read_record, read_table, write_table

SHIPPED = Path(__file__).parents[1] / "params.yaml"
RAW = pd.DataFrame(
    {
        "charges": [" " if n % 9 == 0 else str(n * 1.5) for n in range(40)],
        "plan": ["a", "b"] * 20,
        "same": "x",
        "left": ["", *(["yes", "no", "no"] * 13)],
    },
    dtype="str",
)
DATA = Data(source="table.csv", target="left")


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    return load_params(tmp_path).paths


def test_the_clean_table_and_its_schema_are_written_and_told(paths, capsys):
    write_table(paths.source, RAW)
    run(paths=paths, data=DATA)
    clean, schema = read_table(paths.clean), read_record(paths.table_schema, Schema)
    assert (list(clean), len(clean)) == (["charges", "plan", "left"], 39)
    assert (schema.task, clean["charges"].isna().sum()) == ("binary", 4)
    assert capsys.readouterr().out.splitlines() == [
        "39 rows, 2 features, task binary",
        "1 rows without a target were dropped",
        "left out same: all cells are alike",
    ]


def test_the_same_source_gives_the_same_bytes(paths):
    write_table(paths.source, RAW)
    run(paths=paths, data=DATA)
    before = paths.clean.read_bytes(), paths.table_schema.read_bytes()
    run(paths=paths, data=DATA)
    assert (paths.clean.read_bytes(), paths.table_schema.read_bytes()) == before


def test_a_faulty_table_is_refused_with_all_faults_and_writes_nothing(paths):
    write_table(paths.source, RAW.assign(left="yes", charges=["$1", *RAW["charges"][1:]]))
    with pytest.raises(TableError, match=r"(?s)all rows have the value.*1 of 40 cells are not num"):
        run(paths=paths, data=DATA)
    assert not paths.clean.exists()
