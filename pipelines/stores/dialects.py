"""How a CSV file is written, by a look at its bytes: compression, encoding, delimiter."""

import csv
import gzip
import io
import os
import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import TableError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 65_536
SAMPLE_ROWS = 200
LARGEST_RATIO = 100
HARMLESS_BYTES = 64 * 2**20
MEMORY_PER_BYTE = 6
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
MAGIC = {
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
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Written:
    """The text of a CSV file and how it is written."""

    text: str
    encoding: str
    delimiter: str


def checked_file(path: Path, root: Path) -> Path:
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


def csv_bytes(path: Path) -> bytes:
    """Return what a CSV file holds, unpacked where its name ends with .gz.

    Raises
    ------
    TableError
        Where it is something else than its name says, is cut off, or is too large for memory.
    """
    check_memory(path)
    packed = path.read_bytes()
    content = _unpacked(packed, path) if path.suffix.lower() == ".gz" else packed
    for magic, what in MAGIC.items():
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
    needed = path.stat().st_size * MEMORY_PER_BYTE
    if needed > memory:
        raise TableError(
            f"{path.name}: needs about {needed / 2**30:.0f} GB of memory, this machine has "
            f"{memory / 2**30:.0f}; use Parquet or a sample."
        )


def _unpacked(packed: bytes, path: Path) -> bytes:
    largest = max(HARMLESS_BYTES, LARGEST_RATIO * len(packed))
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            content = file.read(largest + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path.name}: cannot be unpacked: {error}. Copy it again.") from error
    if len(content) > largest:
        raise TableError(
            f"{path.name}: unpacks to over {LARGEST_RATIO} times its size; unpack it yourself "
            "if you trust it."
        )
    return content


def written(content: bytes, name: str, *, encoding: str, delimiter: str | None = None) -> Written:
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
    text = _decoded(content, name, encoding=encoding)
    if not text.strip():
        raise TableError(f"{name}: the file has only blank lines; expected a header and rows.")
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise TableError(f"{name}: line {line} has a NUL character; write the file again as text.")
    return Written(text, encoding, delimiter or delimiter_of(text))


def marked_encoding(content: bytes) -> str:
    """Return `utf-16` where the first bytes say so, else `utf-8`."""
    return "utf-16" if content.startswith(UTF_16_MARKS) else "utf-8"


def likely_encoding(content: bytes) -> str:
    """Return the marked encoding, or `cp1252` for a file that can be no UTF-8 at all.

    Every byte has to have a meaning in cp1252. A file that mixes both counts as `utf-8`, so that
    reading it names the faulty byte.
    """
    marked = marked_encoding(content)
    try:
        content.decode(marked)
    except UnicodeDecodeError:
        return "cp1252" if _fits_cp1252(content) else marked
    return marked


def _fits_cp1252(content: bytes) -> bool:
    if re.search(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", content):
        return False
    try:
        return CONTROLS.search(content.decode("cp1252")) is None
    except UnicodeDecodeError:
        return False


def _decoded(content: bytes, name: str, *, encoding: str) -> str:
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


def writing_notes(how: Written) -> tuple[str, ...]:
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


def delimiter_of(text: str) -> str:
    r"""Return which of comma, semicolon, tab and bar parts the rows most evenly.

    Examples
    --------
    >>> delimiter_of("a;b\n1,5;2\n")
    ';'
    """
    sample = text[:SAMPLE_CHARACTERS]
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    try:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths = [len(row) for row, _ in zip(reader, range(SAMPLE_ROWS), strict=False) if row]
    except csv.Error:
        return (0.0, 0)
    if not widths or widths[0] == 1:
        return (0.0, 1)
    return (widths.count(widths[0]) / len(widths), widths[0])
