from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import TableError
from evertune.scaffold import configure_project

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


def test_what_only_params_can_say_is_kept_for_the_same_file(root):
    file = put(root, CSV.replace("c-7,7,14", "c-7,7,?"))
    with pytest.raises(TableError, match=r"(?s)column 'TotalCharges': 1 of 60 .* data.missing_val"):
        configure_project(root, file, target="Churn")
    edit_section(
        root / "params.yaml",
        "data",
        {"source": "my shop.csv", "missing_values": ["?"], "ignore": ["plan"]},
    )
    configure_project(root, file, target="Churn", identifier="customerID")
    assert load_params(root).data.missing_values == ("?",)
    assert "plan" not in load_params(root).data.columns


def test_what_was_said_about_another_file_is_forgotten(root):
    edit_section(root / "params.yaml", "data", {"ignore": ["age"], "human_column": "doctor"})
    configure_project(root, put(root, CSV), target="Churn")
    assert (load_params(root).data.ignore, load_params(root).data.human_column) == ((), None)


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
