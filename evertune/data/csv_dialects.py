"""Read CSV files: unpack, decode, find the delimiter, split the rows, and name every fault.

Cells stay text exactly as written; `evertune.data.column_kinds.detect_decimal_sign` finds the
decimal sign in them. Row numbers in messages count the rows below the header,
whatever lines they take; blank lines are skipped.

Why not a library: `pandas.read_csv` drops or pads ragged rows without saying which, and
`csv.Sniffer` has no answer for a table of one column. Rows are split by the standard library's
strict reader. The encoding is UTF-8, UTF-16 with a mark, or cp1252: a statistical guess at more
of them could change with a library and would be wrong without a word.
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa

from evertune.data.validation import option, quote_list
from evertune.errors import TableError
from evertune.unicode_text import clean_text

DELIMITER_WORDS = {"tab": "\t"}  # what can be said of a delimiter instead of typing it
DELIMITER_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SAMPLE_CHARACTERS = 65_536
SAMPLE_ROWS = 200
CHUNK_ROWS = 20_000
MAX_COLUMNS = 5000
LARGEST_CELL = 2**31 - 1
MAX_UNPACK_RATIO = 100
SAFE_UNPACKED_BYTES = 64 * 2**20
NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TITLE = "Is line 1 a title above the header? Take it out."
MAGIC_BYTES = {
    b"\x1f\x8b": "a gzip file; give it a name that ends with .gz",
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"PAR1": "a Parquet file; give it a name that ends with .parquet",
    b"%PDF": "a PDF; give a CSV or Parquet file",
    b"BZh": "a bzip2 file; unpack it",
    b"\xfd7zXZ": "an xz file; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstandard file; unpack it",
    b"version https://git-lfs": "a Git LFS pointer, not the data; run git lfs pull",
}


@dataclass(frozen=True, eq=False)
class CsvTable:
    """The table of a CSV file, every cell as text, and how the file is written.

    Attributes
    ----------
    notes : tuple of str
        What a person should know about an unusual file.
    """

    table: pd.DataFrame
    encoding: str
    delimiter: str
    notes: tuple[str, ...]


def read_csv(
    path: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    guess_encoding: bool = False,
) -> CsvTable:
    """Return the table of a CSV file; it is unpacked if its name ends with .gz.

    Parameters
    ----------
    encoding : str, optional
        By default UTF-16 if the first bytes mark it, else UTF-8.
    delimiter : str, optional
        By default the one of comma, semicolon, tab and bar that splits the rows most evenly.
    guess_encoding : bool
        Whether a file that cannot be UTF-8 at all may be read as cp1252 (Windows).

    Raises
    ------
    TableError
        The file is not what its name says, is cut off, unpacks to far more than its size, is not
        text in the encoding, or has faults of the header or the rows; all of those are listed.
    """
    content = _read_content(path)
    encoding = encoding or detect_encoding(content, guess=guess_encoding)
    text = _decode(content, encoding, path.name)
    delimiter = delimiter or detect_delimiter(text)
    notes = []
    if encoding == "cp1252":
        line = next((line for line in text.splitlines() if not line.isascii()), "")
        notes.append(f"not UTF-8, read as cp1252 (Windows); check this line: {line[:60]!r}")
    if encoding == "utf-16":
        notes.append("written in UTF-16")
    if re.search(r"\r(?!\n)", text):
        notes.append("some lines end with a carriage return alone; they count as lines")
    return CsvTable(_parse_rows(text, delimiter, path.name), encoding, delimiter, tuple(notes))


def detect_encoding(content: bytes, *, guess: bool = False) -> str:
    """Return `utf-16` if the first bytes mark it, else `utf-8`; or guess at `cp1252`.

    The guess is for a file without a single character of UTF-8, whose every byte has a meaning in
    cp1252. A file that mixes both counts as `utf-8`, so that reading it names the faulty byte.
    """
    marked = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    if not guess:
        return marked
    try:
        content.decode(marked)
    except UnicodeDecodeError:
        has_utf8 = re.search(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", content)
        text = content.decode("cp1252", errors="replace")
        if not has_utf8 and not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]", text):
            return "cp1252"
    return marked


def detect_delimiter(text: str) -> str:
    """Return which of comma, semicolon, tab and bar splits the rows most evenly.

    Of several that do so alike, the comma is none: it also stands in numbers and in names.
    """

    def evenness(delimiter: str) -> tuple[float, bool, int]:
        sample = io.StringIO(text[:SAMPLE_CHARACTERS], newline="")
        try:
            rows = islice(csv.reader(sample, delimiter=delimiter), SAMPLE_ROWS)
            widths = [len(row) for row in rows if row]
        except csv.Error:
            return 0.0, False, 0
        if not widths or widths[0] == 1:
            return 0.0, False, 1
        return widths.count(widths[0]) / len(widths), delimiter != ",", widths[0]

    return max(DELIMITER_NAMES, key=evenness)


def _read_content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        largest = max(SAFE_UNPACKED_BYTES, MAX_UNPACK_RATIO * len(content))
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(largest + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TableError(f"{path.name}: cannot be unpacked: {error}. Copy it again.") from error
        if len(content) > largest:
            raise TableError(
                f"{path.name}: unpacks to over {MAX_UNPACK_RATIO} times its size; unpack it "
                "yourself if you trust it."
            )
    for magic, kind in MAGIC_BYTES.items():
        if content.startswith(magic):
            raise TableError(f"{path.name}: expected a CSV file, found {kind}.")
    start = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise TableError(f"{path.name}: expected a CSV file, found a web page; download it again.")
    return content


def _decode(content: bytes, encoding: str, name: str) -> str:
    try:
        text = content.decode(encoding)
    except LookupError as error:
        raise TableError(
            f"{name}: no encoding is called {encoding!r}; try `--encoding utf-8`."
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        offset = error.start - (content.rfind(b"\n", 0, error.start) + 1)
        raise TableError(
            f"{name}: expected {encoding}, but byte {offset + 1} of line {line} is "
            f"{content[error.start : error.start + 1].hex()} in hex. Save the file as UTF-8, or "
            f"tell `evertune use` its encoding, such as `--encoding {_likely_encoding(content)}`."
        ) from error
    if not text.strip():
        raise TableError(f"{name}: the file has only blank lines; expected a header and rows.")
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise TableError(f"{name}: line {line} has a NUL character; write the file again as text.")
    return text


def _likely_encoding(content: bytes) -> str:
    """Return Windows' encoding of the west, or the one that gives every byte a meaning."""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _parse_rows(text: str, delimiter: str, name: str) -> pd.DataFrame:
    rows = _iterate_rows(text, delimiter, name)
    header = [clean_text(cell) for cell in next(rows)]
    width = len(header)
    # Some programs end each line with a delimiter: a nameless last column that holds nothing.
    if width > 1 and not header[-1] and _is_last_blank(text, delimiter, name, width):
        header = header[:-1]
    _check_header(header, text, delimiter, name)
    full_header = [*header, *[""] * (width - len(header))]
    long, short, repeated = list[int](), list[int](), list[int]()
    widest = 0
    chunks, start = [], 1
    while chunk := list(islice(rows, CHUNK_ROWS)):
        even = [row for row in chunk if len(row) == width and row != full_header]
        if len(even) < len(chunk):
            for number, row in enumerate(chunk, start):
                if len(row) != width:
                    widest = max(widest, len(row))
                    (long if len(row) > width else short).append(number)
                elif row == full_header:
                    repeated.append(number)
        start += len(chunk)
        columns = zip(*even, strict=True) if even else [()] * width
        arrays = [pa.array(cells, pa.large_string()) for cells in columns]
        chunks.append(pa.table(arrays, names=[str(index) for index in range(width)]))
    faults = [
        f"- row {numbers[0]} has {problem}."
        if len(numbers) == 1
        else f"- {len(numbers)} rows, the first is row {numbers[0]}, have {problem}."
        for numbers, problem in (
            (long, f"more than {width} cells; quote cells that hold the delimiter"),
            (short, f"fewer than {width} cells; check that the file is complete"),
            (repeated, "the header once more; take it out"),
        )
        if numbers
    ]
    if len(long) == start - 1 and long:
        faults = [f"- the first line has {width} cells, but the rows have {widest}. {TITLE}"]
    if faults:
        raise TableError("\n".join([f"{name}: the rows are uneven.", *faults]))
    if not chunks:
        raise TableError(f"{name}: 0 rows below the header; expected at least one.")
    table: pd.DataFrame = pa.concat_tables(chunks).to_pandas()
    return table.iloc[:, : len(header)].set_axis(pd.Index(header), axis="columns")


def _is_last_blank(text: str, delimiter: str, name: str, width: int) -> bool:
    """Return whether the last cell of every row is blank, and none is missing."""
    rows = _iterate_rows(text, delimiter, name)
    return all(len(row) == width and not clean_text(row[-1]) for row in rows)


def _iterate_rows(text: str, delimiter: str, name: str) -> Iterator[list[str]]:
    """Yield the rows that are not blank, the header first."""
    file = io.StringIO(text.removeprefix("\ufeff"), newline="")
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    n_rows = 0
    limit = csv.field_size_limit(LARGEST_CELL)  # of the process; 131,072 characters by default
    try:
        for row in reader:
            if row:
                yield row
                n_rows += 1
    except csv.Error as error:
        hint = _delimiter_hint(text, delimiter) or (
            "check the quotes there, and that the file is complete"
        )
        raise TableError(
            f"{name}: row {n_rows} (line {reader.line_num}) cannot be read: {error}; {hint}."
        ) from error
    finally:
        csv.field_size_limit(limit)


def _are_counted_names(numbers: list[str]) -> bool:
    """Return whether names that are numbers count up evenly, such as years or 0, 1, 2."""
    if not all(re.fullmatch("[0-9]{1,9}", number) for number in numbers):
        return False
    counts = [int(number) for number in numbers]
    years = len(counts) == 2 and all(1900 <= count <= 2100 for count in counts)
    steps = {later - earlier for earlier, later in pairwise(counts)}
    return len(steps) == 1 and (len(counts) > 2 or years) and steps != {0}


def _check_header(header: list[str], text: str, delimiter: str, name: str) -> None:
    faults = []
    counts = Counter(column.casefold() for column in header)
    twice = [column for column in dict.fromkeys(header) if column and counts[column.casefold()] > 1]
    if twice:
        problem = "column names that are equal or differ only in case"
        faults.append(f"{problem}: {quote_list(twice)}; rename them")
    if "" in header:
        faults.append(f"column {header.index('') + 1} has no name; name it or take it out")
    numbers = [column for column in header if NUMBER_PATTERN.fullmatch(column)]
    if _are_counted_names(numbers) and len(numbers) < len(header):
        numbers = []
    if header[0].startswith("#"):
        faults.append("the first line is a comment; take it out")
    elif len(numbers) * 2 > len(header):
        remedy = "the file seems to lack a header, add one"
        faults.append(f"names that are numbers: {quote_list(numbers)}; {remedy}")
    if len(header) > MAX_COLUMNS:
        faults = [f"{len(header)} columns; at most {MAX_COLUMNS} are read"]
    if len(header) == 1:
        faults.append(_explain_one_column(text, delimiter))
    if faults:
        lines = [f"- {fault.removesuffix('.')}." for fault in faults]
        raise TableError("\n".join([f"{name}: the header cannot be used.", *lines]))


def _explain_one_column(text: str, delimiter: str) -> str:
    hint = _delimiter_hint(text, delimiter)
    if hint:
        return f"1 column; {hint}"
    width = _second_width(text)
    if width > 1:
        return f"the first line has 1 cell, but the second has {width}. {TITLE}"
    return "1 column; a table needs a target and at least one other column"


def _delimiter_hint(text: str, delimiter: str) -> str:
    """Return what to do about a delimiter that splits the rows less evenly than another."""
    likely = detect_delimiter(text)
    if likely == delimiter:
        return ""
    word = next((each for each, sign in DELIMITER_WORDS.items() if sign == likely), likely)
    remedy = option("delimiter", word)
    return f"the delimiter looks like {DELIMITER_NAMES[likely]}: tell `evertune use` `{remedy}`"


def _second_width(text: str) -> int:
    """Return how many cells the second line has, by the delimiter that splits it and the rest."""
    rest = text.strip().partition("\n")[2].lstrip()
    return len(next(csv.reader(rest.splitlines()[:1], delimiter=detect_delimiter(rest)), []))
