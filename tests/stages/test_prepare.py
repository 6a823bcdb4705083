from pathlib import Path

import pandas as pd
import pytest

from evertune.config.schema import DataSection
from evertune.data.schema import TableSchema
from evertune.errors import TableError
from evertune.files import read_record, read_table, write_table
from evertune.stages.runner import stage_function

run = stage_function(Path(__file__).parents[2], "prepare")

RAW = pd.DataFrame(
    {
        "charges": [" " if n % 9 == 0 else str(n * 1.5) for n in range(40)],
        "plan": ["a", "b"] * 20,
        "same": "x",
        "left": ["", *(["yes", "no", "no"] * 13)],
    },
    dtype="str",
)
DATA = DataSection(source="table.csv", target="left")


def test_the_clean_table_and_its_schema_are_written_and_summarised(paths, capsys):
    write_table(paths.source, RAW)
    run(paths=paths, data=DATA)
    clean, schema = read_table(paths.clean), read_record(paths.table_schema, TableSchema)
    assert (list(clean), len(clean)) == (["charges", "plan", "left", "moment"], 39)
    assert (schema.task, clean["charges"].isna().sum()) == ("binary", 4)
    assert capsys.readouterr().out.splitlines() == [
        "39 rows, 2 features, task binary",
        "1 rows without a target were dropped",
        "same is left out: all cells are alike",
    ]


def test_a_kind_that_params_declare_is_used(paths):
    write_table(paths.source, RAW)
    run(paths=paths, data=DATA.model_copy(update={"columns": {"charges": "category"}}))
    kinds = {c.name: c.kind for c in read_record(paths.table_schema, TableSchema).features}
    assert kinds == {"charges": "category", "plan": "category"}


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


def test_labelled_rows_of_production_are_added_and_counted(paths, capsys):
    write_table(paths.source, RAW)
    late = {"charges": [3.5, None], "plan": ["c", "a"], "left": ["yes", "perhaps"]}
    days = pd.to_datetime(["2024-03-01", "2024-03-02"]).astype("datetime64[us]")
    write_table(paths.production_labels, pd.DataFrame(late).assign(moment=days))
    run(paths=paths, data=DATA)
    clean, schema = read_table(paths.clean), read_record(paths.table_schema, TableSchema)
    assert (len(clean), clean["moment"].notna().sum()) == (40, 1)
    assert schema.features[1].categories == ("a", "b", "c")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "1 rows of production: 40 in all",
        "1 rows of production without time, group or known label",
    ]


def test_a_source_with_a_column_named_moment_is_refused(paths):
    write_table(paths.source, RAW.assign(moment=["2024-01-01", "2024-01-02"] * 20))
    with pytest.raises(TableError, match=r"moment.*the name is reserved.*Rename the column"):
        run(paths=paths, data=DATA)
