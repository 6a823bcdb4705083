"""The trials file: a header that says which search it is of, then a line for each trial."""

from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.core.trials import SearchHeader, Trial
from pipelines.stores.files import append_line, read_lines, write_text

HEADER: TypeAdapter[SearchHeader] = TypeAdapter(SearchHeader)
TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)


def open_trials(path: Path, header: SearchHeader) -> tuple[Trial, ...]:
    """Make the file ready for a search and return the trials that it has of that search.

    The file is written anew, as it may be a link into a cache that must not change; the trials of
    any other search are dropped. How many workers a search has does not make it another.
    """
    lines = read_lines(path)
    kept = lines[1:] if lines and _is_of(lines[0], header) else []
    write_text(path, "\n".join([HEADER.dump_json(header).decode(), *kept]) + "\n")
    return tuple(TRIAL.validate_json(line, strict=True) for line in kept)


def append_trial(path: Path, trial: Trial) -> None:
    """Add a trial and force it to disk."""
    append_line(path, TRIAL.dump_json(trial).decode())


def read_trials(path: Path) -> tuple[Trial, ...]:
    """Return the trials of the file."""
    return tuple(TRIAL.validate_json(line, strict=True) for line in read_lines(path)[1:])


def read_header(path: Path) -> SearchHeader:
    """Return which search the trials of the file belong to."""
    return HEADER.validate_json(read_lines(path)[0], strict=True)


def _is_of(line: str, header: SearchHeader) -> bool:
    try:
        known = HEADER.validate_json(line, strict=True)
    except ValidationError:
        return False
    return replace(known, workers=header.workers) == header
