"""Every remedy that a message names is followed to the letter: then its fault is gone."""

import csv
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.errors import TableError
from evertune.stages.snapshot import check_source
from tests.support.projects import invoke

SHIPPED = Path(__file__).parents[2] / "params.yaml"
N_ROWS = 120


def table(**columns):
    """Return a CSV file: cells by column, a function of the row's number where they are no list.

    Every table has a number `age` and a target `y`, unless it says otherwise.
    """
    columns = {"age": lambda n: n * 7 % 40, "y": lambda n: ["no", "yes", "no"][n % 3]} | columns
    rows = [[columns[name](n) for name in columns] for n in range(N_ROWS)]
    written = io.StringIO()
    csv.writer(written, delimiter=";", lineterminator="\n").writerows([list(columns), *rows])
    return written.getvalue().encode()


def some(odd, usual, *, every=40):
    """Return cells of which every fortieth is an odd one."""
    return lambda n: odd if n % every == 3 else usual(n)


def number(n):
    return n * 11 % 60


REFUSALS = {
    "a word among numbers": (table(nr=some("Summe", number)), "", "'nr': 3 of 120 cells are not n"),
    "words among numbers": (
        table(nr=some("k. A.", some("it's open", number, every=30))),
        "",
        "'nr': 6 of 120 cells are not numbers",
    ),
    "a dash among numbers": (table(nr=some("-", number)), "", "'nr': 3 of 120 cells are not numb"),
    "many words among numbers": (
        table(nr=lambda n: f"about {n}" if n % 12 == 3 else number(n)),
        "",
        "'nr': 10 of 120 cells are not numbers",
    ),
    "a name that a shell would split": (
        table(**{"Umsatz, (EUR) $HOME": some("Summe", number)}),
        "",
        r"'Umsatz, \(EUR\) \$HOME': 3 of 120 cells",
    ),
    "a name with an equals sign": (table(**{"a=b": some("Summe", number)}), "", "'a=b': 3 of 120"),
    "neither true nor false": (
        table(flag=some("perhaps", lambda n: ["true", "false"][n % 2])),
        "--kind flag=boolean",
        "'flag': 3 of 120 cells are neither true nor false",
    ),
    "a word among dates": (
        table(**{"since when": some("soon", lambda n: f"2024-01-{n % 28 + 1:02}")}),
        "",
        "'since when': 3 of 120 cells are not dates",
    ),
    "dates that can be read in two ways": (
        table(day=lambda n: f"0{n % 9 + 1}/0{n % 7 + 1}/2024"),
        "",
        "'day': .* cells are dates whose day and month",
    ),
    "a comma in numbers": (
        table(price=lambda n: f"{n % 9 + 1},{n * 13 % 900 + 100}"),
        "",
        "'price': 120 of 120 cells can be read in two ways",
    ),
    "hexadecimal": (
        table(price=lambda n: f"0x{n % 30:x}"),
        "",
        "'price': 120 of 120 cells are not",
    ),
    "an infinite number": (table(nr=some("inf", number)), "", "'nr': 3 of 120 cells are infinite"),
    "lists": (table(tags=lambda n: f"[{n % 5}, 1]"), "", "'tags': 120 of 120 cells hold lists"),
    "an identifier with gaps": (
        table(id=some("", lambda n: f"c-{n}")),
        "--identifier id",
        "'id': 3 of 120 cells are missing",
    ),
    "a group with gaps": (
        table(shop=some("", lambda n: f"s{n % 9}")),
        "--group shop",
        "'shop': 3 of 120 cells are missing",
    ),
    "a time with gaps": (
        table(day=some("", lambda n: f"2024-01-{n % 28 + 1:02}")),
        "--time day",
        "'day': 3 of 120 cells are missing",
    ),
    "a time that is none": (
        table(day=some("soon", lambda n: f"2024-01-{n % 28 + 1:02}")),
        "--time day",
        "'day': 3 of 120 cells are not dates",
    ),
    "a time of words": (
        table(day=lambda n: "abc"[n % 3]),
        "--time day",
        "'day': 120 of 120 cells are not numbers",
    ),
    "one column with two roles": (
        table(shop=lambda n: f"s{n % 9}"),
        "--identifier shop --group shop",
        "one column cannot be identifier and group",
    ),
    "the target with another role": (table(), "--time y", "one column cannot be target and time"),
    "labels that differ in case alone": (
        table(y=lambda n: ["hid", "hId", "hed"][n % 3]),
        "",
        "mean the same: 'hId', 'hid'",
    ),
    "a class that no row has": (table(), "--positive oui", "no row has the positive class 'oui'"),
    "more than two classes": (
        table(y=lambda n: "abc"[n % 3]),
        "--task binary",
        "expected 2 classes, found 3",
    ),
    "more than two numbers": (
        table(y=lambda n: n % 5),
        "--task binary",
        "expected 2 classes, found 5",
    ),
    "numbers as classes": (
        table(y=lambda n: n / 7),
        "--task multiclass",
        "a number with 120 values is not a class",
    ),
    "a word in a number to predict": (
        table(y=some("Summe", lambda n: n / 7)),
        "",
        "'y': 3 of 120 cells are not numbers",
    ),
    "a class with one row": (
        table(y=lambda n: "Summe" if n == 119 else ["no", "yes"][n % 2]),
        "",
        "1 of 3 classes have a single row",
    ),
    "nothing but an identifier": (
        table(age=lambda n: f"c-{n}"),
        "",
        "no column is left to learn from",
    ),
    "another delimiter": (table(), "--delimiter ,", "the delimiter looks like a semicolon"),
    "another delimiter and quotes": (
        table(**{'a "b"': lambda n: f"x;{n % 3}"}),
        "--delimiter ,",
        "the delimiter looks like a semicolon",
    ),
    "a tab as delimiter": (
        table().replace(b";", b"\t"),
        "--delimiter ,",
        "the delimiter looks like a tab",
    ),
    "a byte that is no UTF-8": (
        table(town=lambda n: ["Köln", "Bonn"][n % 2]).replace(b"Bonn", b"T\xfcbingen", 1),
        "",
        "expected utf-8, but byte",
    ),
    "a byte without a meaning on Windows": (
        table(town=lambda n: ["Köln", "Bonn"][n % 2]).replace(b"Bonn", b"T\x81bingen", 1),
        "",
        "expected utf-8, but byte",
    ),
    "an encoding that does not exist": (table(), "--encoding utf8000", "no encoding is called"),
}
NOTES = {
    "text like an identifier": (
        table(ref=lambda n: f"c-{n}"),
        "",
        "ref is left out: nearly every row has its own value, so it looks like an identifier",
    ),
    "a number like an identifier": (
        table(**{"Kunde, alt": lambda n: n}),
        "",
        "'Kunde, alt' is left out: nearly every",
    ),
    "an identifier with gaps": (
        table(code=some("", lambda n: f"c-{n}")),
        "",
        "code is left out: nearly every",
    ),
    "a second identifier": (
        table(id=lambda n: f"i{n}", code=lambda n: f"c-{n}"),
        "--identifier id",
        "code is left out: nearly every",
    ),
    "a date": (
        table(**{"Kunde seit": lambda n: f"2024-01-{n % 28 + 1:02}"}),
        "",
        "'Kunde seit' could order the rows",
    ),
    "a column that tells the target": (
        table(**{"it's over": lambda n: ["a", "b", "a"][n % 3]}),
        "",
        "alone tells y nearly perfectly",
    ),
    "a date after the outcome": (
        table(end_date=lambda n: f"2024-01-{n % 28 + 1:02}"),
        "",
        "end_date sounds like a date after the outcome",
    ),
    "words that may mean missing": (
        table(plan=lambda n: ["a", "N/A", "b", "none"][n % 4]),
        "",
        "plan has 'N/A', 'none', kept as ordinary values",
    ),
    "an identifier that repeats": (
        table(id=lambda n: f"c-{n // 2}"),
        "--identifier id",
        "id repeats: if its rows belong together",
    ),
    "a number that differs in each row": (
        table(id=lambda n: n),
        "--kind id=number",
        "id differs in each row",
    ),
    "stars": (table(y=lambda n: n * n % 5 + n % 2), "", "the classes are numbers"),
    "no as the positive class": (
        table(y=lambda n: ["no", "yes", "yes"][n % 3]),
        "",
        "'no' is the positive class because it is rarer",
    ),
}
ALL = [
    pytest.param(*case, id=f"{kind}: {name}")
    for kind, cases in (("refused", REFUSALS), ("noted", NOTES))
    for name, case in cases.items()
]


@pytest.fixture
def root(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(SHIPPED, project)
    return project


def line_with(fault, output):
    """Return the line that names a fault, None if there is none."""
    return next((line for line in output.splitlines() if re.search(fault, line)), None)


def remedies(line):
    """Return the options that a line tells the user to add."""
    return [found for found in re.findall(r"`([^`]*)`", line) if found.startswith("--")]


@pytest.mark.parametrize(("content", "options", "fault"), ALL)
def test_each_remedy_that_use_names_ends_its_fault(root, content, options, fault):
    (root / "t.csv").write_bytes(content)
    before = ["use", "t.csv", "--target", "y", *shlex.split(options)]
    params = (root / "params.yaml").read_bytes()
    output = invoke(root, *before).output
    line = line_with(fault, output)
    assert line is not None, output
    assert remedies(line)
    for remedy in remedies(line):
        (root / "params.yaml").write_bytes(params)
        done = invoke(root, *before, *shlex.split(remedy))
        assert (done.exit_code, line_with(fault, done.output)) == (0, None), done.output


REPEATED = ["a word among numbers", "a name that a shell would split", "lists", "hexadecimal"]


@pytest.mark.parametrize("name", REPEATED)
def test_each_remedy_that_init_names_ends_its_fault(tmp_path, name):
    content, _, fault = REFUSALS[name]
    (tmp_path / "t.csv").write_bytes(content)
    before = ["init", "demo", "--data", "t.csv", "--target", "y"]
    line = line_with(fault, invoke(tmp_path, *before).output)
    assert line is not None
    for remedy in remedies(line):
        done = invoke(tmp_path, *before, *shlex.split(remedy))
        assert (done.exit_code, line_with(fault, done.output)) == (0, None), done.output
        shutil.rmtree(tmp_path / "demo")


@pytest.mark.parametrize("name", REPEATED)
def test_each_remedy_for_a_table_that_came_later_ends_its_fault(root, name):
    content, _, fault = REFUSALS[name]
    (root / "my t.csv").write_bytes(table())
    assert invoke(root, "use", "my t.csv", "--target", "y", "--positive", "no").exit_code == 0
    params = (root / "params.yaml").read_bytes()
    (root / "my t.csv").write_bytes(content)
    with pytest.raises(TableError, match=fault) as refused:
        check_source(root)
    *lines, last = str(refused.value).splitlines()
    (command,) = re.findall(r"added to `evertune ([^`]*)`", last)
    for remedy in remedies(line_with(fault, "\n".join(lines))):
        (root / "params.yaml").write_bytes(params)
        done = invoke(root, *shlex.split(f"{command} {remedy}"))
        assert done.exit_code == 0, done.output
        check_source(root)
        assert load_params(root).data.positive == "no"


def test_a_csv_file_with_a_title_is_told_so(root):
    (root / "t.csv").write_bytes(b"Report, 2024\n" + table().replace(b";", b","))
    output = invoke(root, "use", "t.csv", "--target", "y").output
    assert "the first line has 2 cells" not in output  # the rows have as many
    (root / "t.csv").write_bytes(b"Report, 2024\n" + table(nr=number).replace(b";", b","))
    output = invoke(root, "use", "t.csv", "--target", "y").output
    assert "the first line has 2 cells, but the rows have 3. Is line 1 a title above" in output
    (root / "t.csv").write_bytes(b"Report\n\n" + table(nr=number))
    output = invoke(root, "use", "t.csv", "--target", "y").output
    assert "the first line has 1 cell, but the second has 3. Is line 1 a title above" in output
