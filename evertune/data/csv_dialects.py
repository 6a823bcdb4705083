"""Parse CSV files: detect compression, encoding and delimiter, and report layout faults.

Cells stay text exactly as written. `read_csv_bytes` refuses files that are something else than
their name says, unpack to far more than their size, or do not fit in memory. `parse_csv` lists
all faults of the header and of ragged rows in one error; row numbers count the rows below the
header.
"""

import csv
import gzip
import io
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa

from evertune.data.validation import quote_list
from evertune.errors import TableError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 65_536
SAMPLE_ROWS = 200
MAX_UNPACK_RATIO = 100
SAFE_UNPACKED_BYTES = 64 * 2**20
MEMORY_PER_FILE_BYTE = 6
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
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
UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class CsvText:
    """The text of a CSV file and how it is written."""

    text: str
    encoding: str
    delimiter: str


def check_file(path: Path, root: Path) -> Path:
    """Return the path of a file that can be read.

    Raises
    ------
    TableError
        Where there is no such file, it is empty or no plain file, must not be read, or is a
        link that leaves the project.
    """
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise TableError(f"{shown}: no such file (looked in {root}). Check its name.") from error
    except OSError as error:
        raise TableError(f"{shown}: cannot be reached: {error.strerror}.") from error
    if not stat.S_ISREG(state.st_mode):
        raise TableError(f"{shown}: expected a file, found a folder or a device.")
    if path.is_relative_to(root) and not path.resolve().is_relative_to(root.resolve()):
        raise TableError(f"{shown}: a link that leaves the project; give the path it points to.")
    if not os.access(path, os.R_OK):
        raise TableError(f"{shown}: may not be read; check its permissions.")
    if state.st_size == 0:
        raise TableError(f"{shown}: the file is empty; expected a header and rows.")
    return path


def read_csv_bytes(path: Path) -> bytes:
    """Return what a CSV file holds, unpacked where its name ends with .gz.

    Raises
    ------
    TableError
        Where it is something else than its name says, is cut off, or is too large for memory.
    """
    check_memory(path)
    packed = path.read_bytes()
    content = _unpack_gzip(packed, path) if path.suffix.lower() == ".gz" else packed
    for magic, what in MAGIC_BYTES.items():
        if content.startswith(magic):
            raise TableError(f"{path.name}: expected a CSV file, found {what}.")
    start = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise TableError(f"{path.name}: expected a CSV file, found a web page; download it again.")
    return content


def check_memory(path: Path) -> None:
    """Refuse a file that would not fit in this machine's memory.

    Raises
    ------
    TableError
        Where the table would need more than the machine has.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = path.stat().st_size * MEMORY_PER_FILE_BYTE
    if needed > memory:
        raise TableError(
            f"{path.name}: needs about {needed / 2**30:.0f} GB of memory, this machine has "
            f"{memory / 2**30:.0f}; use Parquet or a sample."
        )


def _unpack_gzip(packed: bytes, path: Path) -> bytes:
    largest = max(SAFE_UNPACKED_BYTES, MAX_UNPACK_RATIO * len(packed))
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            content = file.read(largest + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path.name}: cannot be unpacked: {error}. Copy it again.") from error
    if len(content) > largest:
        raise TableError(
            f"{path.name}: unpacks to over {MAX_UNPACK_RATIO} times its size; unpack it yourself "
            "if you trust it."
        )
    return content


def decode_csv(
    content: bytes, name: str, *, encoding: str, delimiter: str | None = None
) -> CsvText:
    """Return a file's text and how it is written; a look tells the delimiter where none is given.

    Parameters
    ----------
    content : bytes
    name : str
        For messages.
    encoding, delimiter : str

    Raises
    ------
    TableError
        Where the bytes are no text in that encoding, have NUL characters, or only blank lines.
    """
    text = _decode_bytes(content, name, encoding=encoding)
    if not text.strip():
        raise TableError(f"{name}: the file has only blank lines; expected a header and rows.")
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise TableError(f"{name}: line {line} has a NUL character; write the file again as text.")
    return CsvText(text, encoding, delimiter or detect_delimiter(text))


def bom_encoding(content: bytes) -> str:
    """Return `utf-16` where the first bytes say so, else `utf-8`."""
    return "utf-16" if content.startswith(UTF_16_BOMS) else "utf-8"


def detect_encoding(content: bytes) -> str:
    """Return the marked encoding, or `cp1252` for a file that can be no UTF-8 at all.

    Every byte has to have a meaning in cp1252. A file that mixes both counts as `utf-8`, so that
    reading it names the faulty byte.
    """
    marked = bom_encoding(content)
    try:
        content.decode(marked)
    except UnicodeDecodeError:
        return "cp1252" if _fits_cp1252(content) else marked
    return marked


def _fits_cp1252(content: bytes) -> bool:
    if re.search(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", content):
        return False
    try:
        return CONTROL_CHARACTERS.search(content.decode("cp1252")) is None
    except UnicodeDecodeError:
        return False


def _decode_bytes(content: bytes, name: str, *, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except LookupError as error:
        raise TableError(f"{name}: no encoding is called {encoding!r}; try utf-8.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        offset = error.start - (content.rfind(b"\n", 0, error.start) + 1)
        raise TableError(
            f"{name}: expected {encoding}, but byte {offset + 1} of line {line} is "
            f"{content[error.start : error.start + 1].hex()} in hex. Save the file as UTF-8, or "
            "set data.dialect.encoding in params.yaml."
        ) from error


def csv_notes(how: CsvText) -> tuple[str, ...]:
    """Return what a person should know about the way in which a file is written."""
    notes = []
    if how.encoding == "cp1252":
        line = next(line for line in how.text.splitlines() if not line.isascii())
        notes.append(f"not UTF-8, read as cp1252 (Windows); check this line: {line[:60]!r}")
    if how.encoding == "utf-16":
        notes.append("written in UTF-16")
    if "\r" in how.text.replace("\r\n", ""):
        notes.append("some lines end with a carriage return alone; they count as lines")
    return tuple(notes)


def detect_delimiter(text: str) -> str:
    r"""Return which of comma, semicolon, tab and bar parts the rows most evenly.

    Examples
    --------
    >>> detect_delimiter("a;b\n1,5;2\n")
    ';'
    """
    sample = text[:SAMPLE_CHARACTERS]
    return max(DELIMITERS, key=lambda delimiter: _row_consistency(sample, delimiter))


def _row_consistency(sample: str, delimiter: str) -> tuple[float, int]:
    try:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths = [len(row) for row, _ in zip(reader, range(SAMPLE_ROWS), strict=False) if row]
    except csv.Error:
        return (0.0, 0)
    if not widths or widths[0] == 1:
        return (0.0, 1)
    return (widths.count(widths[0]) / len(widths), widths[0])


CHUNK_ROWS = 20_000
MAX_COLUMNS = 5000
DELIMITER_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass
class RaggedRows:
    """Numbers of the rows that are no rows of the table, while reading it."""

    long: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)


def parse_csv(written: CsvText, name: str) -> pd.DataFrame:
    """Return the table of a CSV text, every cell as text exactly as written.

    Row numbers in messages count the rows below the header, whatever lines they take. Blank lines
    are no rows.

    Parameters
    ----------
    written : CsvText
    name : str
        The file's name, for messages.

    Raises
    ------
    TableError
        Where the header or the layout of rows has faults; the message lists them.
    """
    rows = _iterate_rows(written, name)
    header = [cell.strip() for cell in next(rows)]
    header, width = _drop_trailing_column(header, written)
    _check_header(header, written, name)
    uneven = RaggedRows()
    chunks = list(_table_chunks(rows, [*header, *[""] * (width - len(header))], uneven))
    _check_ragged_rows(uneven, width, name)
    if not chunks:
        raise TableError(f"{name}: 0 rows below the header; expected at least one.")
    table: pd.DataFrame = pa.concat_tables(chunks).to_pandas()
    return table.iloc[:, : len(header)].set_axis(pd.Index(header), axis="columns")


def _iterate_rows(written: CsvText, name: str) -> Iterator[list[str]]:
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


def _drop_trailing_column(header: list[str], written: CsvText) -> tuple[list[str], int]:
    """Return the header without a nameless last column where that holds nothing, and its width."""
    last = re.compile(re.escape(written.delimiter) + r"[ \t]*\r?$")
    lines = written.text.rstrip("\r\n").split("\n")
    if len(header) > 1 and not header[-1] and all(last.search(line) for line in lines if line):
        return header[:-1], len(header)
    return header, len(header)


def _table_chunks(
    rows: Iterator[list[str]], header: list[str], uneven: RaggedRows
) -> Iterator[pa.Table]:
    names = [str(place) for place in range(len(header))]
    start = 1
    while chunk := list(islice(rows, CHUNK_ROWS)):
        even = [row for row in chunk if len(row) == len(header) and row != header]
        if len(even) < len(chunk):
            _record_ragged_rows(uneven, chunk, header, start=start)
        start += len(chunk)
        columns = zip(*even, strict=True) if even else [()] * len(header)
        yield pa.table([pa.array(cells, pa.large_string()) for cells in columns], names=names)


def _record_ragged_rows(
    uneven: RaggedRows, chunk: list[list[str]], header: list[str], *, start: int
) -> None:
    for number, row in enumerate(chunk, start):
        if len(row) > len(header):
            uneven.long.append(number)
        elif len(row) < len(header):
            uneven.short.append(number)
        elif row == header:
            uneven.headers.append(number)


def _check_ragged_rows(uneven: RaggedRows, width: int, name: str) -> None:
    faults = []
    if uneven.long:
        remedy = "quote cells that hold the delimiter"
        faults.append(f"{_describe_rows(uneven.long)} more than {width} cells; {remedy}")
    if uneven.short:
        remedy = "check that the file is whole"
        faults.append(f"{_describe_rows(uneven.short)} fewer than {width} cells; {remedy}")
    if uneven.headers:
        faults.append(f"{_describe_rows(uneven.headers)} the header once more; take it out")
    if faults:
        raise TableError(
            "\n".join([f"{name}: the rows are uneven.", *(f"- {fault}." for fault in faults)])
        )


def _describe_rows(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"row {numbers[0]} has"
    return f"{len(numbers)} rows, the first is row {numbers[0]}, have"


def _check_header(header: list[str], written: CsvText, name: str) -> None:
    faults = [*_name_faults(header), *_missing_header_faults(header)]
    if len(header) > MAX_COLUMNS:
        faults = [f"{len(header)} columns; at most {MAX_COLUMNS} are read"]
    if len(header) == 1:
        faults.append(_single_column_fault(written))
    if faults:
        raise TableError(
            "\n".join([f"{name}: the header cannot be used.", *(f"- {fault}." for fault in faults)])
        )


def _single_column_fault(written: CsvText) -> str:
    likely = detect_delimiter(written.text)
    if likely != written.delimiter:
        return f"1 column; the delimiter looks like {DELIMITER_NAMES[likely]}, set data.dialect.delimiter"
    return "1 column; a table needs a target and at least one other column"


def _name_faults(header: list[str]) -> list[str]:
    plain = Counter(name.casefold() for name in header)
    twice = [name for name in dict.fromkeys(header) if name and plain[name.casefold()] > 1]
    faults = []
    if twice:
        faults.append(
            f"column names that are equal or differ only in case: {quote_list(twice)}; rename them"
        )
    if "" in header:
        faults.append(f"column {header.index('') + 1} has no name; name it or take it out")
    return faults


def _missing_header_faults(header: list[str]) -> list[str]:
    if header[0].startswith("#"):
        return ["the first line is a comment; take it out"]
    numbers = [name for name in header if NUMBER_PATTERN.fullmatch(name)]
    if len(numbers) * 2 > len(header):
        return [
            f"names that are numbers: {quote_list(numbers)}; the file seems to lack a header, add one"
        ]
    return []
