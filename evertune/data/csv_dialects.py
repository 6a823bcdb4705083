"""Parse CSV files: detect compression, encoding and delimiter, and report layout faults.

Cells stay text exactly as written. `read_csv_bytes` refuses files that are not what their name
says, unpack to far more than their size, or do not fit in memory. `parse_csv` lists all faults
of the header and of ragged rows in one error; row numbers count the rows below the header.

Rows are split by the standard library's strict reader: pandas drops or pads ragged rows without
telling which. The encoding is UTF-8, UTF-16 with a mark, or cp1252: a statistical guess at more
of them could change with a library and would be wrong without a word.
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
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa

from evertune.data.validation import quote_list
from evertune.errors import TableError

DELIMITER_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SAMPLE_CHARACTERS = 65_536
SAMPLE_ROWS = 200
CHUNK_ROWS = 20_000
MAX_COLUMNS = 5000
MAX_UNPACK_RATIO = 100
SAFE_UNPACKED_BYTES = 64 * 2**20
MEMORY_PER_FILE_BYTE = 6
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
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


@dataclass(frozen=True)
class CsvText:
    """The text of a CSV file and its dialect."""

    text: str
    encoding: str
    delimiter: str


def check_file(path: Path, root: Path) -> Path:
    """Return the path of a file that can be read.

    Raises
    ------
    TableError
        The file is missing, empty, not a regular file, not readable, or a link that leaves the
        project.
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


def check_memory(path: Path) -> None:
    """Raise TableError if a file would not fit in this machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = path.stat().st_size * MEMORY_PER_FILE_BYTE
    if needed > memory:
        raise TableError(
            f"{path.name}: needs about {needed / 2**30:.0f} GB of memory, this machine has "
            f"{memory / 2**30:.0f}; use Parquet or a sample."
        )


def read_csv_bytes(path: Path) -> bytes:
    """Return the content of a CSV file, unpacked if its name ends with .gz.

    Raises
    ------
    TableError
        It is not what its name says, is cut off, or is too large for memory.
    """
    check_memory(path)
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
    for magic, found in MAGIC_BYTES.items():
        if content.startswith(magic):
            raise TableError(f"{path.name}: expected a CSV file, found {found}.")
    start = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise TableError(f"{path.name}: expected a CSV file, found a web page; download it again.")
    return content


def bom_encoding(content: bytes) -> str:
    """Return `utf-16` if the first bytes mark it, else `utf-8`."""
    return "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"


def detect_encoding(content: bytes) -> str:
    """Return the marked encoding, or `cp1252` for a file that cannot be UTF-8 at all.

    Every byte must have a meaning in cp1252. A file that mixes both counts as `utf-8`, so that
    reading it names the faulty byte.
    """
    marked = bom_encoding(content)
    try:
        content.decode(marked)
    except UnicodeDecodeError:
        if re.search(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", content):
            return marked  # some of it is UTF-8
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            return marked
        return "cp1252" if CONTROL_CHARACTERS.search(text) is None else marked
    return marked


def decode_csv(
    content: bytes, name: str, *, encoding: str, delimiter: str | None = None
) -> CsvText:
    """Return a file's text and dialect; the delimiter is detected if it is None.

    Parameters
    ----------
    name : str
        Of the file, for messages.

    Raises
    ------
    TableError
        The bytes are not text in that encoding, have NUL characters, or only blank lines.
    """
    try:
        text = content.decode(encoding)
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
    if not text.strip():
        raise TableError(f"{name}: the file has only blank lines; expected a header and rows.")
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise TableError(f"{name}: line {line} has a NUL character; write the file again as text.")
    return CsvText(text, encoding, delimiter or detect_delimiter(text))


def detect_delimiter(text: str) -> str:
    r"""Return which of comma, semicolon, tab and bar splits the rows most evenly."""

    def consistency(delimiter: str) -> tuple[float, int]:
        sample = io.StringIO(text[:SAMPLE_CHARACTERS], newline="")
        try:
            rows = islice(csv.reader(sample, delimiter=delimiter), SAMPLE_ROWS)
            widths = [len(row) for row in rows if row]
        except csv.Error:
            return 0.0, 0
        if not widths or widths[0] == 1:
            return 0.0, 1
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITER_NAMES, key=consistency)


def csv_notes(written: CsvText) -> tuple[str, ...]:
    """Return what a person should know about the way in which a file is written."""
    notes = []
    if written.encoding == "cp1252":
        line = next(line for line in written.text.splitlines() if not line.isascii())
        notes.append(f"not UTF-8, read as cp1252 (Windows); check this line: {line[:60]!r}")
    if written.encoding == "utf-16":
        notes.append("written in UTF-16")
    if "\r" in written.text.replace("\r\n", ""):
        notes.append("some lines end with a carriage return alone; they count as lines")
    return tuple(notes)


def parse_csv(written: CsvText, name: str) -> pd.DataFrame:
    """Return the table of a CSV text, every cell as text exactly as written.

    Row numbers in messages count the rows below the header, whatever lines they take. Blank lines
    are skipped.

    Parameters
    ----------
    name : str
        Of the file, for messages.

    Raises
    ------
    TableError
        The header or the layout of rows has faults; the message lists them.
    """
    rows = _iterate_rows(written, name)
    header = [cell.strip() for cell in next(rows)]
    width = len(header)
    # each line ends with a delimiter: a nameless last column that holds nothing
    last = re.compile(re.escape(written.delimiter) + r"[ \t]*\r?$")
    lines = written.text.rstrip("\r\n").split("\n")
    if width > 1 and not header[-1] and all(last.search(line) for line in lines if line):
        header = header[:-1]
    _check_header(header, written, name)
    full_header = [*header, *[""] * (width - len(header))]
    ragged: dict[str, list[int]] = {"long": [], "short": [], "header": []}
    chunks, start = [], 1
    while chunk := list(islice(rows, CHUNK_ROWS)):
        even = [row for row in chunk if len(row) == width and row != full_header]
        if len(even) < len(chunk):
            for number, row in enumerate(chunk, start):
                if len(row) != width:
                    ragged["long" if len(row) > width else "short"].append(number)
                elif row == full_header:
                    ragged["header"].append(number)
        start += len(chunk)
        columns = zip(*even, strict=True) if even else [()] * width
        names = [str(index) for index in range(width)]
        chunks.append(
            pa.table([pa.array(cells, pa.large_string()) for cells in columns], names=names)
        )
    _check_rows(ragged, width, name)
    if not chunks:
        raise TableError(f"{name}: 0 rows below the header; expected at least one.")
    table: pd.DataFrame = pa.concat_tables(chunks).to_pandas()
    return table.iloc[:, : len(header)].set_axis(pd.Index(header), axis="columns")


def _iterate_rows(written: CsvText, name: str) -> Iterator[list[str]]:
    text = io.StringIO(written.text.removeprefix("\ufeff"), newline="")
    reader = csv.reader(text, delimiter=written.delimiter, strict=True)
    n_rows = 0
    try:
        for row in reader:
            if row:
                yield row
                n_rows += 1
    except csv.Error as error:
        raise TableError(
            f"{name}: row {n_rows} (line {reader.line_num}) cannot be read: {error}. Check the "
            "quotes there, and that the file is complete."
        ) from error


def _check_rows(ragged: dict[str, list[int]], width: int, name: str) -> None:
    problems = {
        "long": f"more than {width} cells; quote cells that hold the delimiter",
        "short": f"fewer than {width} cells; check that the file is complete",
        "header": "the header once more; take it out",
    }
    faults = []
    for kind, numbers in ragged.items():
        if numbers:
            rows = f"{len(numbers)} rows, the first is row {numbers[0]}, have"
            rows = f"row {numbers[0]} has" if len(numbers) == 1 else rows
            faults.append(f"- {rows} {problems[kind]}.")
    if faults:
        raise TableError("\n".join([f"{name}: the rows are uneven.", *faults]))


def _check_header(header: list[str], written: CsvText, name: str) -> None:
    faults = []
    counts = Counter(column.casefold() for column in header)
    twice = [column for column in dict.fromkeys(header) if column and counts[column.casefold()] > 1]
    if twice:
        problem = "column names that are equal or differ only in case"
        faults.append(f"{problem}: {quote_list(twice)}; rename them")
    if "" in header:
        faults.append(f"column {header.index('') + 1} has no name; name it or take it out")
    numbers = [column for column in header if NUMBER_PATTERN.fullmatch(column)]
    if header[0].startswith("#"):
        faults.append("the first line is a comment; take it out")
    elif len(numbers) * 2 > len(header):
        remedy = "the file seems to lack a header, add one"
        faults.append(f"names that are numbers: {quote_list(numbers)}; {remedy}")
    if len(header) > MAX_COLUMNS:
        faults = [f"{len(header)} columns; at most {MAX_COLUMNS} are read"]
    if len(header) == 1:
        likely = detect_delimiter(written.text)
        if likely != written.delimiter:
            looks = f"the delimiter looks like {DELIMITER_NAMES[likely]}"
            faults.append(f"1 column; {looks}, set data.dialect.delimiter")
        else:
            faults.append("1 column; a table needs a target and at least one other column")
    if faults:
        lines = [f"- {fault}." for fault in faults]
        raise TableError("\n".join([f"{name}: the header cannot be used.", *lines]))
