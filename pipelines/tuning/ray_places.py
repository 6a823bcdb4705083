"""Where Ray keeps what it needs while it runs."""

import hashlib
import tempfile
from pathlib import Path

LONGEST_FOLDER = 40  # Ray adds some 60 characters, and the path of a socket may have 107


def ray_folder(state: Path) -> Path:
    """Return Ray's temporary folder of a project: short, and the same for every run."""
    name = "evertune-" + hashlib.sha256(str(state).encode()).hexdigest()[:8]
    usual = Path(tempfile.gettempdir())
    return (usual if len(str(usual)) + len(name) < LONGEST_FOLDER else Path("/tmp")) / name
