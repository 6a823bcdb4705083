"""The files of a project as they were at a commit, by git; the repository is only read."""

import io
import subprocess
import tarfile
from pathlib import Path


def extract_commit(root: Path, commit: str, *, folder: Path) -> bool:
    """Write the project's files of a commit to a folder.

    Parameters
    ----------
    root : Path
        The project's folder, which may lie below that of its repository.
    commit : str
    folder : Path
        Files that it has already are replaced.

    Returns
    -------
    bool
        Whether there is git here and it knows that commit.
    """
    command = ["git", "-C", str(root), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    if done.returncode != 0:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return True
