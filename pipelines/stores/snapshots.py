"""Versions of raw tables: one that has not changed stays as it is."""

import filecmp
from pathlib import Path

import pandas as pd

from pipelines.stores.files import write_table


def replaced_if_changed(path: Path, table: pd.DataFrame) -> bool:
    """Return whether the table differs from the file's; only then the file is replaced."""
    beside = path.with_name(f".{path.name}.new")
    write_table(beside, table)
    if path.is_file() and filecmp.cmp(beside, path, shallow=False):
        beside.unlink()
        return False
    beside.replace(path)
    return True
