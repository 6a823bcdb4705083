"""The rows of a CSV text: every cell as it is written, every fault of the layout in one error."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import pandas as pd
import pyarrow as pa

from pipelines.core.breaches import listed
from pipelines.errors import TableError
from pipelines.stores.dialects import Written, delimiter_of

CHUNK_ROWS = 20_000
MOST_COLUMNS = 5000
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass
class Uneven:
    """Numbers of the rows that are no rows of the table, while reading it."""

    long: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)


def table_of(written: Written, name: str) -> pd.DataFrame:
    """Return the table of a CSV text, every cell as text exactly as written.

    Row numbers in messages count the rows below the header, whatever lines they take. Blank lines
    are no rows.

    Parameters
    ----------
    written : Written
    name : str
        The file's name, for messages.

    Raises
    ------
    TableError
        Where the header or the layout of rows has faults; the message lists them.
    """
    rows = _rows(written, name)
    header = [cell.strip() for cell in next(rows)]
    header, width = _without_trailing(header, written)
    _check_header(header, written, name)
    uneven = Uneven()
    chunks = list(_chunks(rows, [*header, *[""] * (width - len(header))], uneven))
    _check_rows(uneven, width, name)
    if not chunks:
        raise TableError(f"{name}: 0 rows below the header; expected at least one.")
    table: pd.DataFrame = pa.concat_tables(chunks).to_pandas()
    return table.iloc[:, : len(header)].set_axis(pd.Index(header), axis="columns")


def _rows(written: Written, name: str) -> Iterator[list[str]]:
    reader = csv.reader(
        io.StringIO(written.text.removeprefix("\ufeff"), newline=""),
        delimiter=written.delimiter,
        strict=True,
    )
    n_rows = 0
    try:
        for row in reader:
            if row:
                yield row
                n_rows += 1
    except csv.Error as error:
        raise TableError(
            f"{name}: row {n_rows} (line {reader.line_num}) cannot be read: {error}. Check the "
            "quotes there, and that the file is whole."
        ) from error


def _without_trailing(header: list[str], written: Written) -> tuple[list[str], int]:
    """Return the header without a nameless last column where that holds nothing, and its width."""
    last = re.compile(re.escape(written.delimiter) + r"[ \t]*\r?$")
    lines = written.text.rstrip("\r\n").split("\n")
    if len(header) > 1 and not header[-1] and all(last.search(line) for line in lines if line):
        return header[:-1], len(header)
    return header, len(header)


def _chunks(rows: Iterator[list[str]], header: list[str], uneven: Uneven) -> Iterator[pa.Table]:
    names = [str(place) for place in range(len(header))]
    start = 1
    while chunk := list(islice(rows, CHUNK_ROWS)):
        even = [row for row in chunk if len(row) == len(header) and row != header]
        if len(even) < len(chunk):
            _note(uneven, chunk, header, start=start)
        start += len(chunk)
        columns = zip(*even, strict=True) if even else [()] * len(header)
        yield pa.table([pa.array(cells, pa.large_string()) for cells in columns], names=names)


def _note(uneven: Uneven, chunk: list[list[str]], header: list[str], *, start: int) -> None:
    for number, row in enumerate(chunk, start):
        if len(row) > len(header):
            uneven.long.append(number)
        elif len(row) < len(header):
            uneven.short.append(number)
        elif row == header:
            uneven.headers.append(number)


def _check_rows(uneven: Uneven, width: int, name: str) -> None:
    faults = []
    if uneven.long:
        remedy = "quote cells that hold the delimiter"
        faults.append(f"{_rows_with(uneven.long)} more than {width} cells; {remedy}")
    if uneven.short:
        remedy = "check that the file is whole"
        faults.append(f"{_rows_with(uneven.short)} fewer than {width} cells; {remedy}")
    if uneven.headers:
        faults.append(f"{_rows_with(uneven.headers)} the header once more; take it out")
    if faults:
        raise TableError(
            "\n".join([f"{name}: the rows are uneven.", *(f"- {fault}." for fault in faults)])
        )


def _rows_with(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"row {numbers[0]} has"
    return f"{len(numbers)} rows, the first is row {numbers[0]}, have"


def _check_header(header: list[str], written: Written, name: str) -> None:
    faults = [*_name_faults(header), *_likeness_faults(header)]
    if len(header) > MOST_COLUMNS:
        faults = [f"{len(header)} columns; at most {MOST_COLUMNS} are read"]
    if len(header) == 1:
        faults.append(_one_column(written))
    if faults:
        raise TableError(
            "\n".join([f"{name}: the header cannot be used.", *(f"- {fault}." for fault in faults)])
        )


def _one_column(written: Written) -> str:
    likely = delimiter_of(written.text)
    if likely != written.delimiter:
        return f"1 column; the delimiter looks like {NAMES[likely]}, set data.dialect.delimiter"
    return "1 column; a table needs a target and at least one other column"


def _name_faults(header: list[str]) -> list[str]:
    plain = Counter(name.casefold() for name in header)
    twice = [name for name in dict.fromkeys(header) if name and plain[name.casefold()] > 1]
    faults = []
    if twice:
        faults.append(
            f"column names that are equal or differ only in case: {listed(twice)}; rename them"
        )
    if "" in header:
        faults.append(f"column {header.index('') + 1} has no name; name it or take it out")
    return faults


def _likeness_faults(header: list[str]) -> list[str]:
    if header[0].startswith("#"):
        return ["the first line is a comment; take it out"]
    numbers = [name for name in header if NUMBER.fullmatch(name)]
    if len(numbers) * 2 > len(header):
        return [
            f"names that are numbers: {listed(numbers)}; the file seems to lack a header, add one"
        ]
    return []
