from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.configure import configure_project
from evertune.data.folds import make_training_folds
from evertune.data.holdout import add_row_keys, split_table
from evertune.data.readers import clean_or_raise, read_source, spec_from_params
from evertune.errors import InputError, TableError

SHIPPED = Path(__file__).parents[2] / "params.yaml"
HEADER = "customerID,tenure,TotalCharges,plan,Churn"
ROWS = [
    f"c-{n},{n % 30},{' ' if n % 10 == 0 else n * 2},{'ab'[n % 2]},{n % 4 == 0}" for n in range(60)
]
CSV = "\n".join([HEADER, *ROWS]) + "\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def put(root, content, name="my shop.csv"):
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root / name)


def test_what_was_found_stands_in_params_and_comments_stay(root):
    found = configure_project(root, put(root, CSV), target="Churn")
    data = load_params(root).data
    assert (data.source, data.identifier, data.task, data.positive) == (
        "my shop.csv",
        "customerID",
        "binary",
        "True",
    )
    assert data.columns == {"tenure": "number", "TotalCharges": "number", "plan": "category"}
    assert "# the column that names a row uniquely" in (root / "params.yaml").read_text()
    assert (found.positive_share, found.identifier) == (0.25, "customerID")


def test_the_model_is_named_after_the_file_and_the_dialect_is_written_down(root):
    configure_project(root, put(root, CSV.replace(",", ";")), target="Churn", time="tenure")
    params = load_params(root)
    assert (params.registry.name, params.data.time) == ("my-shop", "tenure")
    assert (params.data.dialect.delimiter, params.data.dialect.encoding) == (";", "utf-8")


def test_a_class_of_interest_needs_a_target_with_two_classes(root):
    cells = "\n".join(f"{n * n},{n / 7}" for n in range(30))
    with pytest.raises(TableError, match=r"expected a target with two classes, one of them '1'"):
        configure_project(root, put(root, f"age,price\n{cells}\n"), target="price", positive="1")


def test_the_same_command_twice_changes_nothing_more(root):
    configure_project(root, put(root, CSV), target="Churn")
    before = (root / "params.yaml").read_bytes()
    configure_project(root, put(root, CSV), target="Churn")
    assert (root / "params.yaml").read_bytes() == before


def test_what_params_say_counts_after_a_refusal_and_for_another_file(root):
    file = put(root, CSV.replace("c-7,7,14", "c-7,7,?"))
    with pytest.raises(TableError, match=r"(?s)column 'TotalCharges': 1 of 60 .*`--missing '\?'`"):
        configure_project(root, file, target="Churn")
    said = {"missing_values": ["?"], "ignore": ["plan"], "columns": {"tenure": "category"}}
    edit_section(root / "params.yaml", "data", said | {"identifier": "customerID"})
    for again in (file, file, put(root, CSV, "later.csv")):
        found = configure_project(root, again, target="Churn")
        data = load_params(root).data
        assert (data.missing_values, data.ignore, data.identifier) == (
            ("?",),
            ("plan",),
            "customerID",
        )
        assert data.columns == {"tenure": "category", "TotalCharges": "number"}
        assert not any("params.yaml" in note for note in found.notes)


def test_the_roles_of_columns_stay_until_they_are_taken_back(root):
    file = put(root, CSV)
    configure_project(root, file, target="Churn", time="tenure", group="plan", positive="False")
    configure_project(root, file, target="Churn", kind=["TotalCharges=number"])
    data = load_params(root).data
    assert (data.time, data.group, data.positive) == ("tenure", "plan", "False")
    configure_project(root, file, target="Churn", time="null", group="customerID")
    data = load_params(root).data
    assert (data.time, data.group, data.identifier) == (None, "customerID", None)


def test_what_does_not_fit_the_table_is_left_out_and_told_in_one_line(root):
    said = {"ignore": ["age", "plan"], "human_column": "doctor", "columns": {"a": "text"}}
    edit_section(root / "params.yaml", "data", said)
    found = configure_project(root, put(root, CSV), target="Churn")
    data = load_params(root).data
    assert (data.ignore, data.human_column, data.columns.keys()) == (
        ("plan",),
        None,
        {"tenure", "TotalCharges"},
    )
    assert found.notes[0] == (
        "params.yaml says what does not fit this table, and it is left out: "
        "human_column 'doctor', ignore 'age', column 'a'"
    )


def test_kinds_and_the_dialect_of_another_file_do_not_hold_against_the_table(root):
    configure_project(root, put(root, CSV, "first.csv"), target="Churn")
    other = CSV.replace(",", ";").replace("c-", "d-")
    for n in range(60):
        other = other.replace(f"d-{n};{n % 30};", f"d-{n};{'low' if n % 3 else 'high'};")
    found = configure_project(root, put(root, other, "second.csv"), target="Churn")
    data = load_params(root).data
    assert (data.columns["tenure"], data.dialect.delimiter) == ("category", ";")
    assert found.notes[0].endswith("left out: kind tenure=number")


def test_a_dialect_that_a_person_wrote_counts_after_a_refusal(root):
    cells = "".join(f"{n % 9 + 1},{n * 13 % 900 + 100};{n % 2}\n" for n in range(60))
    file = put(root, f"price;sold\n{cells}")
    with pytest.raises(TableError, match=r"`--decimal ,`"):
        configure_project(root, file, target="sold")
    edit_section(root / "params.yaml", "data", {"dialect": {"decimal": ","}})
    configure_project(root, file, target="sold")
    assert load_params(root).data.dialect.decimal == ","


def test_options_are_written_beside_what_params_say(root):
    edit_section(root / "params.yaml", "data", {"missing_values": ["?"]})
    file = put(root, CSV.replace("c-7,7,14", "c-7,7,k.A."))
    options = {"missing": ["k.A."], "ignore": ["plan"], "kind": ["tenure=category"]}
    configure_project(root, file, target="Churn", task="binary", **options)
    data = load_params(root).data
    assert data.missing_values == ("?", "k.A.")
    assert (data.ignore, data.columns["tenure"], data.task) == (("plan",), "category", "binary")
    configure_project(root, file, target="Churn", kind=["plan=text"])
    assert (load_params(root).data.ignore, load_params(root).data.columns["plan"]) == ((), "text")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"ignore": ["plam", "tenure"], "kind": ["Tenure=number"], "time": "day"},
            r"'day': the table has no such column, named as time\.\n"
            r"- column 'plam': .* named as ignore\. Did you mean 'plan'\?\n"
            r"- column 'Tenure': .* named as columns\. Did you mean 'tenure'\? Columns are 'cust",
        ),
        ({"missing": ["Summ"]}, r"no cell is 'Summ', named as missing\. Did you mean 'Summe'\?"),
        ({"kind": ["tenure=nummer"]}, r"--kind: 'nummer' is none of .* Did you mean 'number'\?"),
        ({"kind": ["tenure"]}, r"--kind 'tenure': expected a column and its kind"),
        ({"kind": ["Churn=text"]}, r"'Churn' is the target; --task says what it is"),
        ({"ignore": ["Churn"]}, r"--ignore 'Churn': it is the target"),
        ({"task": "regresion"}, r"'regresion' is none of .* Did you mean 'regression'\?"),
        ({"delimiter": ";;"}, r"--delimiter ';;': expected one character, or tab"),
        ({"decimal": ";"}, r"--decimal ';': expected a point or a comma"),
    ],
)
def test_an_option_that_does_not_fit_is_one_clear_error(root, options, words):
    before = (root / "params.yaml").read_bytes()
    file = put(root, CSV.replace("c-7,7,14", "c-7,7,Summe"))
    with pytest.raises(InputError, match=words) as refused:
        configure_project(root, file, target="Churn", **options)
    assert str(refused.value).count("Columns are") <= 1
    assert (root / "params.yaml").read_bytes() == before


def test_predictions_of_another_target_are_left_out(root):
    rows = "".join(f"{n % 7},{n % 2},{n % 3},{n % 3}\n" for n in range(60))
    file = put(root, f"age,y,z,guess\n{rows}")
    configure_project(root, file, target="z", task="multiclass")
    edit_section(root / "params.yaml", "data", {"existing_column": "guess", "columns": {}})
    configure_project(root, file, target="z")
    assert load_params(root).data.existing_column == "guess"
    found = configure_project(root, file, target="y")
    data = load_params(root).data
    assert (data.existing_column, data.task, data.positive) == (None, "binary", "1")
    assert found.notes[0].endswith("left out: existing_column 'guess'")


def test_the_example_is_a_table_too(root):
    assert (
        configure_project(root, "example", target="churned", positive="yes", time="date").task
        == "binary"
    )
    assert load_params(root).data.source == "example"


def test_a_file_outside_the_project_is_named_in_full(root, tmp_path_factory):
    file = put(tmp_path_factory.mktemp("elsewhere"), CSV)
    configure_project(root, file, target="Churn")
    assert load_params(root).data.source == file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (CSV.encode() + b"c,1,\xc3\xa9,\xe9,True\n", "byte 8 of line 62 is e9"),
        (HEADER + "\n", "0 rows below the header"),
        (CSV + "c-61,1\n", "row 61 has fewer than 5 cells"),
        (CSV.replace("TotalCharges", "tenure"), "equal or differ only in case: 'tenure'"),
        (CSV.replace("plan", "prediction"), "'prediction': the name is reserved"),
        (CSV.replace("Churn", "churn"), "no such column, named as target"),
        (CSV.replace("True", "False"), "all rows have the value 'False'"),
        (CSV.replace("c-7,7,14", "c-7,7,inf"), "1 of 60 cells are infinite"),
        (CSV.replace("c-7,7,14", "c-7,7,x"), "not numbers, the first in row 8: 'x'"),
    ],
)
def test_a_table_that_cannot_be_used_changes_nothing(root, content, words):
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(TableError, match=words):
        configure_project(root, put(root, content), target="Churn")
    assert (root / "params.yaml").read_bytes() == before


def rare_class(n_rows):
    kinds = ["rare"] * n_rows + ["ab"[n % 2] for n in range(60)]
    cells = "\n".join(f"{n * 7 % 31 / 7:.3f},{n % 5},{kind}" for n, kind in enumerate(kinds))
    return f"size,rooms,kind\n{cells}\n"


def split_of(root):
    """Return the folds that a run would make of what params.yaml says."""
    params = load_params(root)
    source = read_source(params.data, root)
    prepared = clean_or_raise(source, spec_from_params(params.data, source), source="x")
    keyed, split = add_row_keys(prepared.clean, prepared.schema), params.split
    parts = split_table(keyed, prepared.schema, fraction=split.holdout_fraction, seed=split.seed)
    return make_training_folds(
        parts.training,
        prepared.schema,
        kind=split.folds,
        n_folds=split.n_folds,
        n_repeats=split.n_repeats,
        gap_days=split.gap_days,
        seed=split.seed,
    )


@pytest.mark.parametrize(
    ("n_rows", "change"), [(2, {"folds": "kfold"}), (4, {"n_folds": 3}), (4, {"folds": "kfold"})]
)
def test_a_class_too_rare_for_the_folds_is_told_with_what_helps(root, n_rows, change):
    found = configure_project(root, put(root, rare_class(n_rows)), target="kind")
    note = next(note for note in found.notes if "too few for split.n_folds 5" in note)
    assert f"class 'rare' has {n_rows} rows" in note
    with pytest.raises(ValueError, match="5 folds are too many"):
        split_of(root)
    for key, value in change.items():
        assert f"split.{key}: {value}" in note
    edit_section(root / "params.yaml", "split", change)
    assert len(split_of(root)) == change.get("n_folds", 5)


def test_classes_with_enough_rows_and_folds_by_time_are_not_warned_of(root):
    enough = configure_project(root, put(root, rare_class(8)), target="kind")
    by_time = configure_project(root, put(root, rare_class(4)), target="kind", time="size")
    assert not [note for note in (*enough.notes, *by_time.notes) if "split.n_folds" in note]
