"""Tables as people write them, each with what may be read from it, for hypothesis.

`frames` draws a table and how its file is written; `read_frame` puts it through the front door:
`evertune use`, the snapshot, and the stages `prepare` and `split`. It is refused with one message,
or each cell is read as what it is, never silently as something else.
"""

import csv
import gzip
import io
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from evertune.config.loader import call_with_sections, load_params
from evertune.configure import configure_project
from evertune.data.holdout import add_row_keys
from evertune.data.readers import read_source
from evertune.data.schema import TableSchema
from evertune.errors import EvertuneError, ParamsError
from evertune.files import read_record, read_table
from evertune.messages import without_library_warnings
from evertune.stages.snapshot import write_snapshot
from evertune.unicode_text import clean_text
from pipelines import prepare, split

PARAMS = "data: {source: example, target: churned}\n"
ADDRESS_VARIABLE = "GENERATED_TABLES_ADDRESS"
LONGEST_MESSAGE = 6000
READ_AS = {"number": "number", "boolean": "number", "date": "date", "category": "text"}
BLANKS = ("", "", "", " ", "\u00a0", "  ")
MISSING_WORDS = ("NA", "n/a", "NaN", "None", "null", "<NA>", "#N/A")
OTHER_MISSING_WORDS = ("-", "?", "k.A.", "missing", "#REF!")
UNITS = (
    *[("", "")] * 6,
    *(("$", ""), ("", " €"), ("€ ", ""), ("", "%"), ("", " kg"), ("USD ", ""), ("", " EUR")),
    *(("R$ ", ""), ("", "kr"), ("", " °C"), ("", "\u00a0€"), ("£", "")),
)
NEGATIVE = ("-{b}{d}{u}", "{b}-{d}{u}", "\u2212{b}{d}{u}", "\u2013{b}{d}{u}", "({b}{d}{u})")
DATE_FORMS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S.%f"),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m/%d/%Y %H:%M:%S"),
    *("%d %b %Y", "%b %d, %Y", "%d %B %Y", "%d-%b-%Y", "%d %b %Y %H:%M"),
)
ZONES = (*[""] * 4, "Z", "+02:00", " UTC", "-0530")
WORD_FORMS = ("%d.%m.%y", "%m/%d/%y", "%H:%M", "%m/%d/%Y %I:%M %p", "%B %Y", "Q1 %Y", "%Y-%m")
WORDS = {
    **{
        word: word
        for word in ("red", "Blau", "не известно", "猫", "قطة", "हिन्दी", "ñandú", "ß", "SS")
    },
    **{
        word: word
        for word in ("O'Neill", 'say "hi"', '"', "a,b", "c;d", "e|f", "g\th", "#1", "=A1+2")
    },
    **{
        word: word
        for word in ("first\nsecond", "one\r\ntwo", "a\rb", "true story", "12 apples", "1/2")
    },
    **{
        word: word
        for word in ("👩\u200d👩\u200d👧", "x" * 101, "\\n", "%s", "{a}", "[x]", "a: b", "- c", "~")
    },
    **{
        " red ": "red",
        "u\u0308ber": "über",
        "a\u00a0b": "a b",
        "\u200bzero": "zero",
        "end\n": "end",
    },
    **{
        word: word
        for word in ("yes", "no", "Ja", "Nein", "N", "Y", "none of it", "1st", "10-20", ">5")
    },
}
NAMES = (
    *(
        "age",
        "Age",
        "price",
        "Price (EUR)",
        "Größe",
        "Gro\u0308ße",
        "STRASSE",
        "Straße",
        "город",
        "年龄",
    ),
    *(
        "x",
        "x ",
        " y",
        "a,b",
        "a;b",
        "a|b",
        "a\tb",
        'the "best"',
        "it's",
        "two\nlines",
        "id",
        "order_id",
    ),
    *(
        "customerID",
        "date",
        "null",
        "true",
        "no",
        "1",
        "2.5",
        "2024",
        "#n",
        "=sum",
        "a: b",
        "at :b",
        "- c",
        "{d}",
    ),
    *(
        "[e]",
        "*f",
        "&g",
        "!h",
        "%i",
        "@j",
        "`k`",
        "\\l",
        "a.b",
        "a=b",
        "~",
        "?",
        "e1 ",
        "<tag>",
        "$m",
        "{{n}}",
    ),
    *(
        "row_key",
        "prediction",
        "class",
        "label",
        "column",
        "target",
        "source",
        "😀",
        "x" * 120,
        "$",
        "__p",
    ),
)


class Cell(NamedTuple):
    """A cell as the file holds it, and what it may be read as; None is missing."""

    written: object
    readings: Mapping[str, object]

    def __repr__(self) -> str:
        return repr(self.written)


Cells = Callable[[Random], Cell]


@dataclass(frozen=True)
class GeneratedColumn:
    """A column; `arrow` is its type in a Parquet file where its cells are typed."""

    name: str
    cells: tuple[Cell, ...]
    arrow: pa.DataType | None = None


@dataclass(frozen=True)
class Frame:
    """A table, how its file is written, and what `evertune use` is told; the target is first."""

    columns: tuple[GeneratedColumn, ...]
    kind: str  # csv, parquet or sql
    dialect: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


def text_of(written: str) -> str | None:
    """Return a cell as a word: a whole number has no fraction."""
    return re.sub(r"^(-?(?:0|[1-9][0-9]*))\.0+$", r"\1", clean_text(written)) or None


def number_cell(written: str, value: float) -> Cell:
    return Cell(written, {"number": value, "text": text_of(written)})


def word_cell(written: str) -> Cell:
    return Cell(written, {"text": text_of(written)})


def one_of(cells: Sequence[Cell]) -> Cells:
    return lambda random: random.choice(cells)


def moment(random: Random) -> datetime:
    return datetime(1950, 1, 1) + timedelta(
        microseconds=random.randrange(85 * 365 * 86_400 * 10**6)
    )


BLANK_CELLS = one_of([Cell(blank, dict.fromkeys(("number", "date", "text"))) for blank in BLANKS])
MISSING_CELLS = one_of(
    [Cell(word, {"number": None, "date": None, "text": word}) for word in MISSING_WORDS]
)
OTHER_MISSING_CELLS = one_of([word_cell(word) for word in OTHER_MISSING_WORDS])
BOOLEANS = one_of(
    [
        Cell(word, {"number": float(word.lower() == "true"), "text": word})
        for word in ("true", "false", "True", "False", "TRUE", "FALSE")
    ]
)
NESTED = one_of(
    [word_cell(text) for text in ('{"a": 1, "b": "x,y"}', "[1, 2]", "[]", '{"a": null}')]
)
LONG = one_of([word_cell("long " * 30_000), word_cell("short"), word_cell("w " * 60)])


@st.composite
def written_numbers(draw: st.DrawFn, decimal: str) -> Cells:
    """Draw how the numbers of one column are written in a locale."""
    signs = ["", "", "", ",", ".", " ", "'", "\u2019", "\u00a0", "\u202f", "lakh"]
    groups = draw(st.sampled_from([sign for sign in signs if sign != decimal]))
    if groups == "lakh" and decimal == ",":
        groups = "."
    before, behind = draw(st.sampled_from(UNITS))
    negative = draw(st.sampled_from(NEGATIVE))
    places, digits = draw(st.integers(0, 4)), draw(st.integers(1, 11))
    has_negative = draw(st.booleans())

    def cell(random: Random) -> Cell:
        value = random.randrange(10 ** random.randint(1, digits))
        sign = "-" if has_negative and value and random.random() < 0.4 else ""
        text = f"{value:0{places + 1}d}"
        whole, part = text[: len(text) - places], text[len(text) - places :]
        grouped = f"{int(whole):,}".replace(",", groups)
        if groups == "lakh":
            pairs = re.sub(r"(?<=\d)(?=(?:\d\d)+$)", ",", whole[:-3])
            grouped = f"{pairs},{whole[-3:]}" if pairs else whole
        amount = grouped + (decimal + part if places else "")
        form = negative if sign else "{b}{d}{u}"
        number = float(f"{sign}{whole}.{part or 0}")
        return number_cell(form.format(b=before, d=amount, u=behind), number)

    return cell


@st.composite
def floats(draw: st.DrawFn, decimal: str) -> Cells:
    """Draw numbers as programs write them, with all digits and exponents."""
    size = draw(st.sampled_from([1e-9, 1.0, 1e6, 1e20]))

    def cell(random: Random) -> Cell:
        value = random.gauss(0, size)
        return number_cell(repr(value).replace(".", decimal), value)

    return cell


@st.composite
def dates(draw: st.DrawFn) -> Cells:
    """Draw one form of dates."""
    usual = draw(st.sampled_from(DATE_FORMS))
    forms = [usual, usual, *draw(st.sampled_from([(), (), (), ("%Y-%m-%d", "%d %b %Y")]))]
    zone = draw(st.sampled_from(ZONES)) if "%H" in usual else ""
    hours = {"+02:00": 2.0, "-0530": -5.5}.get(zone, 0.0)

    def cell(random: Random) -> Cell:
        form = random.choice(forms)
        written = moment(random).strftime(form)
        value = datetime.strptime(written, form)
        if form == usual:
            written, value = written + zone, value - timedelta(hours=hours)
        return Cell(written, {"date": value, "text": clean_text(written)})

    return cell


@st.composite
def identifiers(draw: st.DrawFn) -> Cells:
    """Draw the names of rows: numbers of many digits, codes, UUIDs."""
    form = draw(st.sampled_from(["{:08d}", "{:d}", "9{:018d}", "12{:023d}", "A-{:d}", "{:x}-{:x}"]))
    largest = draw(st.sampled_from([50, 10**7]))

    def cell(random: Random) -> Cell:
        value = random.randrange(largest)
        written = form.format(value, value // 7)
        plain = written.isdigit() and (written[0] != "0" or written == "0")
        return number_cell(written, float(written)) if plain else word_cell(written)

    return cell


@st.composite
def words(draw: st.DrawFn) -> Cells:
    chosen = draw(st.lists(st.sampled_from([*WORDS]), min_size=2, max_size=6, unique=True))
    return one_of([Cell(word, {"text": WORDS[word]}) for word in chosen])


@st.composite
def moment_words(draw: st.DrawFn) -> Cells:
    """Draw dates and times that lack a year of four digits, a month or a day."""
    form = draw(st.sampled_from(WORD_FORMS))
    return lambda random: word_cell(moment(random).strftime(form))


def mixed(random: Random) -> Cell:
    """Return a cell of a column in which everything stands."""
    number, day = random.randrange(50), moment(random)
    written = f"{day:%Y-%m-%d}"
    return random.choice(
        [
            *[number_cell(text, float(text)) for text in (f"{number}", f"{number}.0")],
            *[word_cell(word) for word in ("red", "x1", "12 apples", "0x1F")],
            Cell(written, {"date": datetime(day.year, day.month, day.day), "text": written}),
            BOOLEANS(random),
        ]
    )


@st.composite
def draw_cells(draw: st.DrawFn, cells: Cells, rows: int) -> tuple[Cell, ...]:
    """Draw the cells of a column, some of them missing in one of the ways that people write."""
    random = Random(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.0, 0.0, 0.05, 0.05, 0.3]))
    missing = draw(st.sampled_from([BLANK_CELLS, BLANK_CELLS, MISSING_CELLS, OTHER_MISSING_CELLS]))
    if draw(st.integers(0, 19)) == 19:
        return (cells(random),) * rows
    return tuple(missing(random) if random.random() < share else cells(random) for _ in range(rows))


def text_columns(rows: int, decimal: str) -> st.SearchStrategy[tuple[Cell, ...]]:
    """Return a strategy for the cells of one column of a text file."""
    rare = [st.just(each) for each in (mixed, BOOLEANS, NESTED, LONG, BLANK_CELLS)]
    kinds = [*[written_numbers(decimal)] * 4, floats(decimal), *[dates()] * 3, *[words()] * 3]
    kinds += [identifiers(), moment_words(), st.sampled_from(rare).flatmap(lambda each: each)]
    return (
        st.sampled_from(kinds)
        .flatmap(lambda kind: kind)
        .flatmap(lambda cells: draw_cells(cells, rows))
    )


def typed_cell(value: object) -> Cell:
    """Return a cell that is not text: of Parquet, or of a database."""
    if value is None:
        return Cell(None, dict.fromkeys(("number", "date", "text")))
    if isinstance(value, datetime):
        instant = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return Cell(value, {"date": instant, "text": str(value)})
    if isinstance(value, date):
        return Cell(
            value, {"date": datetime(value.year, value.month, value.day), "text": str(value)}
        )
    if isinstance(value, timedelta):
        return Cell(
            value, {"number": value.total_seconds(), "text": text_of(str(value.total_seconds()))}
        )
    if isinstance(value, str | bytes | time):
        return Cell(value, {"text": value.decode() if isinstance(value, bytes) else str(value)})
    text = f"{value:f}".rstrip("0").rstrip(".") if isinstance(value, Decimal) else str(value)
    return Cell(value, {"number": float(value), "text": text_of(text)})


TYPED: tuple[tuple[pa.DataType, Callable[[Random], object]], ...] = (
    (pa.int64(), lambda random: random.randrange(-(2**63), 2**63)),
    (pa.int64(), lambda random: random.randrange(5)),
    (pa.int32(), lambda random: random.randrange(-1000, 1000)),
    (pa.float64(), lambda random: random.gauss(0, 1e6)),
    (pa.uint64(), lambda random: random.randrange(2**64)),
    (pa.int8(), lambda random: random.randrange(-5, 5)),
    (pa.float32(), lambda random: float(np.float32(random.gauss(0, 1)))),
    (pa.bool_(), lambda random: random.random() < 0.5),
    (pa.decimal128(12, 2), lambda random: Decimal(random.randrange(10**9)).scaleb(-2)),
    (pa.decimal128(38, 10), lambda random: Decimal(random.randrange(10**30)).scaleb(-10)),
    (pa.timestamp("us"), moment),
    (pa.timestamp("ns"), moment),
    (
        pa.timestamp("us", tz="Europe/Berlin"),
        lambda random: moment(random).replace(tzinfo=timezone(timedelta(hours=3))),
    ),
    (pa.date32(), lambda random: moment(random).date()),
    (pa.duration("us"), lambda random: timedelta(seconds=random.randrange(10**6) / 4)),
    (pa.binary(), lambda random: random.choice([b"red", b"blue", "grün".encode()])),
    (pa.dictionary(pa.int8(), pa.string()), lambda random: random.choice(["a", "b", "c d"])),
    (pa.time64("us"), lambda random: moment(random).time()),
)
IN_SQLITE = TYPED[:4]


@st.composite
def typed_columns(
    draw: st.DrawFn, rows: int, *, in_sqlite: bool
) -> tuple[tuple[Cell, ...], pa.DataType]:
    """Draw the cells of a typed column, and their type."""
    arrow, value = draw(st.sampled_from(IN_SQLITE if in_sqlite else TYPED))
    random, share = Random(draw(st.integers(0, 2**32))), draw(st.sampled_from([0.0, 0.1]))
    cells = [None if random.random() < share else value(random) for _ in range(rows)]
    return tuple(map(typed_cell, cells)), arrow


@st.composite
def targets(draw: st.DrawFn, rows: int, decimal: str) -> tuple[Cell, ...]:
    """Draw a target: two classes, several, or a number; some cells may be missing."""
    labels = [
        *(("yes", "no"), ("Ja", "Nein"), ("猫", "犬"), ("a,b", "c"), ("low", "mid", "high")),
        *(("True", "False"), ("yes ", "no")),
    ]
    classes = [[word_cell(word) for word in each] for each in labels]
    codes = (("0", "1"), ("1.0", "2.0"), ("1", "2", "3"), ("-1", "1"))
    classes += [[number_cell(text, float(text)) for text in each] for each in codes]
    kinds = [*[st.just(one_of(each)) for each in classes], *[written_numbers(decimal)] * 4]
    kinds.append(floats(decimal))
    cells = draw(draw(st.sampled_from(kinds)))
    return draw(draw_cells(cells, rows))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Draw a table of 12 to 40 rows and up to four features, and how its file is written."""
    kind = draw(st.sampled_from(["csv", "csv", "csv", "csv", "parquet", "sql"]))
    rows = draw(st.integers(12, 80))
    decimal = draw(st.sampled_from([".", ".", ","]))
    width = draw(st.integers(1, 4))
    alike = (
        {}
        if draw(st.integers(0, 9)) == 9
        else {"unique_by": lambda name: clean_text(name).casefold()}
    )
    names = draw(st.lists(st.sampled_from(NAMES), min_size=width + 1, max_size=width + 1, **alike))
    if kind != "csv" and draw(st.booleans()):
        columns = [GeneratedColumn(names[0], *draw(typed_columns(rows, in_sqlite=kind == "sql")))]
    else:
        columns = [GeneratedColumn(names[0], draw(targets(rows, decimal)))]
    for name in names[1:]:
        if kind != "csv" and draw(st.booleans()):
            cells, arrow = draw(typed_columns(rows, in_sqlite=kind == "sql"))
            columns.append(GeneratedColumn(name, cells, arrow))
        else:
            columns.append(GeneratedColumn(name, draw(text_columns(rows, decimal))))
    options: dict[str, object] = {}
    written = {cell.written for column in columns for cell in column.cells}
    foreign = [word for word in OTHER_MISSING_WORDS if word in written]
    if foreign and draw(st.booleans()):
        options["missing"] = foreign
    role = draw(st.sampled_from([*[None] * 9, "identifier", "time", "group"]))
    if role:
        options[role] = clean_text(draw(st.sampled_from(names[1:])))
    return Frame(tuple(columns), kind, draw(dialects()) if kind == "csv" else {}, options)


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, str]:
    choices = {
        "delimiter": [",", ",", ";", "\t", "|"],
        "line": ["\n", "\n", "\r\n"],
        "quotes": ["some", "some", "all"],
        "encoding": ["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252", "cp1251", "gb18030"],
        "end": ["line", "no line", "blank line", "delimiter"],
        "packed": ["", "", "", ".gz"],
    }
    return {key: draw(st.sampled_from(values)) for key, values in choices.items()}


def write_frame(frame: Frame, folder: Path) -> tuple[str, dict[str, object]]:
    """Write the file of a table; return its name and what `evertune use` has to be told of it."""
    names = [column.name for column in frame.columns]
    rows = [
        *zip(*([cell.written for cell in column.cells] for column in frame.columns), strict=True)
    ]
    if frame.kind == "parquet":
        arrays = [
            pa.array([cell.written for cell in column.cells], column.arrow or pa.string())
            for column in frame.columns
        ]
        pq.write_table(pa.table(arrays, names=names), folder / "table.parquet")
        return "table.parquet", {}
    if frame.kind == "sql":
        return "table.sql", _write_database(names, rows, folder)
    return _write_csv(frame.dialect, names, rows, folder)


def _write_database(
    names: Sequence[str], rows: Sequence[tuple[object, ...]], folder: Path
) -> dict[str, object]:
    places = ", ".join(f"c{n}" for n in range(len(names)))
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        database.execute(f"create table t ({places})")
        marks = ", ".join("?" * len(names))
        database.executemany(f"insert into t values ({marks})", rows)
        database.commit()
    shown = ", ".join(
        f'c{n} as "{name.replace(chr(34), chr(34) * 2)}"' for n, name in enumerate(names)
    )
    (folder / "table.sql").write_text(f"select {shown} from t", encoding="utf-8")
    os.environ[ADDRESS_VARIABLE] = f"sqlite:///{folder}/rows.db"
    return {"address_variable": ADDRESS_VARIABLE}


def _write_csv(
    dialect: Mapping[str, str],
    names: Sequence[str],
    rows: Sequence[tuple[object, ...]],
    folder: Path,
) -> tuple[str, dict[str, object]]:
    buffer, delimiter, line = io.StringIO(newline=""), dialect["delimiter"], dialect["line"]
    needed = any("\r" in str(cell) for row in rows for cell in row)  # `csv` leaves it unquoted
    is_quoted = needed or dialect["quotes"] == "all"
    quoting = csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line, quoting=quoting)
    more = ("",) if dialect["end"] == "delimiter" and quoting == csv.QUOTE_MINIMAL else ()
    writer.writerows([*names, *more] if row is None else [*row, *more] for row in (None, *rows))
    text = buffer.getvalue()
    if dialect["end"] == "no line":
        text = text.removesuffix(line)
    text += line if dialect["end"] == "blank line" else ""
    encoding = dialect["encoding"]
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        encoding, content = "utf-8", text.encode()
    told: dict[str, object] = {"encoding": encoding} if encoding in {"cp1251", "gb18030"} else {}
    name = f"table.csv{dialect['packed']}"
    (folder / name).write_bytes(gzip.compress(content) if dialect["packed"] else content)
    return name, told


def read_frame(frame: Frame, root: Path) -> str:
    """Put a table through the front door; return the message that refuses it, "" if it is read.

    Raises
    ------
    AssertionError
        A cell was read as what it is not, or the message is none of ours.
    """
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    file, told = write_frame(frame, root)
    target = clean_text(frame.columns[0].name)
    with without_library_warnings(), redirect_stdout(io.StringIO()):
        try:
            found = configure_project(
                root,
                str(root / file),
                target=target,
                **{**told, **frame.options},  # type: ignore[arg-type]
            )
        except EvertuneError as refusal:
            message = str(refusal)
            assert message.rstrip().endswith((".", "`")), message
            assert len(message) < LONGEST_MESSAGE, message
            return message
        params = load_params(root)
        write_snapshot(params.paths, read_source(params.data, root))
        call_with_sections(prepare.run, root)
        clean = read_table(params.paths.clean)
        schema = read_record(params.paths.table_schema, TableSchema)
        check_cells(frame, clean, schema, excluded=found.excluded, notes=found.notes)
        try:
            call_with_sections(split.run, root)
        except ParamsError as refusal:
            return str(refusal)
        sides = [read_table(path) for path in (params.paths.training, params.paths.holdout)]
        both = pd.concat(sides, ignore_index=True)
        pd.testing.assert_frame_equal(both.head(0), add_row_keys(clean, schema).head(0)[[*both]])
        surplus = count_rows(both) - count_rows(add_row_keys(clean, schema)[[*both]])
        assert not surplus, f"rows that were not prepared: {surplus}"
        assert schema.group or len(both) == len(clean)
    return ""


def count_rows(table: pd.DataFrame) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(map(repr, table[name].tolist()) for name in table), strict=True))


def check_cells(
    frame: Frame,
    clean: pd.DataFrame,
    schema: TableSchema,
    *,
    excluded: Mapping[str, str],
    notes: Sequence[str],
) -> None:
    """Compare a clean table with the cells that were written."""
    declared = set(frame.options.get("missing", ()))  # type: ignore[call-overload]
    kinds = {column.name: READ_AS.get(column.kind, "text") for column in schema.features}
    target = frame.columns[0]
    kinds[schema.target] = "text" if schema.classes else "number"
    kinds |= {name: "text" for name in (schema.identifier, schema.group) if name}
    if schema.time and schema.time_column:
        kinds[schema.time] = READ_AS[schema.time_column.kind]
    truths = {
        clean_text(column.name): [
            None
            if cell.written in declared
            else cell.readings.get(kinds.get(clean_text(column.name), "text"), cell)
            for cell in column.cells
        ]
        for column in frame.columns
    }
    labels = truths[schema.target]
    if all(cell.written in declared or "number" in cell.readings for cell in target.cells):
        labels = [
            None if cell.readings.get("number", 0.0) is None else label
            for cell, label in zip(target.cells, labels, strict=True)
        ]
        truths[schema.target] = labels
    rows = [n for n, label in enumerate(labels) if label is not None]
    assert len(clean) == len(rows), f"{len(clean)} rows, but {len(rows)} have a target"
    for column in frame.columns:
        name = clean_text(column.name)
        if name in excluded and name not in kinds:
            check_excluded(name, truths[name], excluded[name])
            continue
        assert name in clean, f"{name!r} is neither read nor left out: {excluded}"
        for row, value in zip(rows, clean[name], strict=True):
            truth = truths[name][row]
            read = None if pd.isna(value) else value
            assert read == truth, (
                f"column {name!r} as {kinds[name]}, row {row + 1}: {column.cells[row].written!r}"
                f" was read as {read!r}, expected {truth!r}"
            )
        check_numbers_as_words(column, name, kinds[name], schema, notes)


def check_excluded(name: str, texts: Sequence[object], reason: str) -> None:
    """A column is left out only for what it is."""
    distinct = set(texts)
    if reason == "all cells are missing":
        assert distinct == {None}, (name, reason)
    elif reason == "all cells are alike":
        assert len(distinct) == 1, (name, reason)
    else:
        filled = [text for text in texts if text is not None]
        assert len(set(filled)) >= 0.95 * len(filled), (name, reason)


def check_numbers_as_words(
    column: GeneratedColumn, name: str, kind: str, schema: TableSchema, notes: Sequence[str]
) -> None:
    """Numbers that are learned as words are told of."""
    if kind != "text" or name not in {each.name for each in schema.features}:
        return
    filled_cells = [cell for cell in column.cells if cell.readings.get("text") is not None]
    numbers = [cell for cell in filled_cells if cell.readings.get("number") is not None]
    booleans = all(str(cell.written).lower() in {"true", "false"} for cell in numbers)
    if len(numbers) == len(filled_cells) and numbers and not booleans:
        assert any(name in note for note in notes), f"{name!r} is numbers, read as words: {notes}"
