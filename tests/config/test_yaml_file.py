import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from evertune.config.yaml_file import edit_section, find_line, read_yaml
from evertune.errors import ParamsError

TEXT = """\
# about the file
data:
  source: example   # where rows come from
  columns: {}       # of the table

  target: "yes"     # what is predicted
split:
    folds: auto
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("5", 5),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("2020-01-01", "2020-01-01"),
        ("[1, {b: x}]", [1, {"b": "x"}]),
    ],
)
def test_a_value_is_read_as_dvc_reads_it(path, written, value):
    path.write_text(f"a: {written}\n")
    assert read_yaml(path).values == {"a": value}


def test_every_key_has_its_line(path):
    document = read_yaml(path)
    assert document.lines["data.target"] == 6
    assert document.lines["split.folds"] == 8


def test_a_key_that_is_not_there_has_the_line_of_the_nearest_one_around_it(path):
    assert find_line(read_yaml(path), "data.dialect.decimal") == 2
    assert find_line(read_yaml(path), "registry.name") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: the file is empty"),
        ("# only words\n", "line 1: the file is empty"),
        ("- a\n", "line 1: expected sections"),
        ("a:\n\tb: 1\n", r"line 2: column 1: found character '\t'.* Indent with blanks"),
        ("a: 1\nb: [1\n", "line 3: column 1: expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "line 2: column 1: but found another document"),
        ("a: \x01\n", "line 1: unacceptable character"),
        ("a: !!python/name:os.system x\n", "line 1: the tag .*os.system' is not read"),
        ("a: &x [1]\n", "line 1: anchors and aliases are not read"),
        ("[" * 5000, "line 1: more than 20 levels"),
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' is in line 1 already"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(path, text, words):
    path.write_text(text)
    with pytest.raises(ParamsError, match=words.replace("[", r"\[").replace(r"\t", r"\\t")):
        read_yaml(path)


def test_all_double_keys_are_named_at_once(path):
    path.write_text("a: {b: 1, b: 2}\nc: 1\nc: 2\n")
    with pytest.raises(ParamsError, match=r"2 faults:\n  line 1: 'a.b'.*\n  line 3: 'c'"):
        read_yaml(path)


def test_aliases_cannot_fill_the_memory(path):
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    path.write_text("l0: &l0 [x]\n" + "\n".join(levels))
    with pytest.raises(ParamsError, match="write the value out"):
        read_yaml(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"none\.yaml cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_a_file_in_another_encoding_is_refused(path):
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ParamsError, match="not written in UTF-8"):
        read_yaml(path)


def test_a_value_is_replaced_in_its_place(path):
    edit_section(path, "data", {"source": "a.csv"})
    assert path.read_text() == TEXT.replace("example", "a.csv  ")


def test_a_longer_value_moves_its_comment(path):
    edit_section(path, "data", {"source": "exports/2024/sales.csv"})
    assert "  source: exports/2024/sales.csv  # where rows come from\n" in path.read_text()


def test_a_table_of_values_goes_below_its_key(path):
    edit_section(path, "data", {"columns": {f"column {n}": "number" for n in range(9)}})
    assert "  columns:          # of the table\n    column 0: number\n" in path.read_text()


def test_a_table_of_values_is_replaced_as_a_whole(path):
    edit_section(path, "data", {"columns": {f"column {n}": "number" for n in range(9)}})
    edit_section(path, "data", {"columns": {}})
    assert path.read_text() == TEXT


def test_a_long_list_goes_below_its_key(path):
    edit_section(path, "data", {"ignore": tuple(f"column {n}" for n in range(20))})
    assert "  ignore:\n    - column 0\n    - column 1\n" in path.read_text()


def test_a_new_key_goes_to_the_end_of_its_section(path):
    edit_section(path, "split", {"seed": 3})
    assert path.read_text() == TEXT + "    seed: 3\n"


def test_a_new_section_goes_to_the_end_of_the_file(path):
    edit_section(path, "registry", {"name": "sales"})
    assert path.read_text() == TEXT + "\nregistry:\n  name: sales\n"


def test_a_section_in_one_line_is_written_anew(path):
    path.write_text("data: {source: x}\nsplit: {}\n")
    edit_section(path, "data", {"target": "z"})
    assert path.read_text() == "data:\n  source: x\n  target: z\nsplit: {}\n"


def test_nothing_is_written_where_nothing_changes(path):
    before = path.stat().st_ino
    edit_section(path, "data", {"target": "yes", "columns": {}})
    assert path.stat().st_ino == before


TEXTS = ["no", "null", "", " x", "a: b", "a #b", "\t", "ä € 😀", 'a "b"', "1", "1e3", "-", "*x"]
OTHERS = [1, 1e-7, -2.5, True, None, [], ["a, b", {"c": [1]}], {"a: b": "x"}]


@pytest.mark.parametrize("value", [*TEXTS, *OTHERS])
def test_any_value_reads_back_as_it_was(path, value):
    edit_section(path, "data", {"target": value})
    assert read_yaml(path).values["data"]["target"] == value


def test_a_value_that_would_not_read_back_is_refused_and_nothing_is_changed(path):
    with pytest.raises(ParamsError, match="'data' cannot be edited; write by hand"):
        edit_section(path, "data", {"target": float("nan")})
    assert path.read_text() == TEXT


def test_a_file_with_a_fault_is_not_edited(path):
    path.write_text("data: 1\ndata: 2\n")
    with pytest.raises(ParamsError, match=re.escape("'data' is in line 1 already")):
        edit_section(path, "data", {"target": "x"})


SHIPPED = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
SECTIONS = [line[:-1] for line in SHIPPED.splitlines() if re.fullmatch(r"\w+:", line)]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)


@pytest.fixture(scope="module")
def shipped_values():
    return read_yaml(Path(__file__).parents[2] / "params.yaml").values


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    section=st.sampled_from(SECTIONS),
    values=st.dictionaries(
        st.sampled_from(["seed", "source", "cron", "new key"]), VALUES, min_size=1
    ),
)
def test_an_edit_changes_nothing_but_what_it_names(
    tmp_path_factory, shipped_values, section, values
):
    path = tmp_path_factory.mktemp("edit") / "params.yaml"
    path.write_text(SHIPPED, encoding="utf-8")
    try:
        edit_section(path, section, values)
    except ParamsError:  # text that YAML cannot hold, such as a surrogate: refused as a whole
        assert path.read_text(encoding="utf-8") == SHIPPED
        return
    assert read_yaml(path).values == shipped_values | {section: shipped_values[section] | values}
    edited = path.read_text(encoding="utf-8").split("\n")
    assert _without(edited, section) == _without(SHIPPED.split("\n"), section)


def _without(lines, section):
    """Return the lines of all other sections."""
    start = lines.index(f"{section}:")
    others = [n for n, line in enumerate(lines) if n > start and re.match(r"\w+:$", line)]
    return lines[:start] + (lines[others[0] :] if others else [])


def test_a_reference_to_a_function_is_read_by_the_parser_that_dvc_uses(path):
    path.write_text("metric:\n  custom: {}\n")
    custom = {"gain": {"function": "my_metrics:gain", "greater_is_better": True}}
    edit_section(path, "metric", {"custom": custom})
    assert YAML(typ="safe").load(path) == {"metric": {"custom": custom}}
