"""How long each step of a project took when it last ran, for `evertune plan`.

`state/step_seconds.json` holds the times of this machine. They are a help for estimates alone: a
file that is missing or broken means that nothing is known.
"""

import json
from pathlib import Path

from evertune.files import write_text

FILE = "step_seconds.json"
FILE_VERSION = 1


def read_step_seconds(state: Path) -> dict[str, float]:
    """Return the seconds that each step took when it last ran, as far as they are known."""
    try:
        content = json.loads((state / FILE).read_text(encoding="utf-8"))
        if content["schema_version"] != FILE_VERSION:
            return {}
        return {str(name): float(seconds) for name, seconds in content["seconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def record_step_seconds(state: Path, name: str, seconds: float) -> None:
    """Keep how long a step took; the caller holds the project's lock."""
    known = read_step_seconds(state) | {name: round(seconds, 1)}
    content = {"schema_version": FILE_VERSION, "seconds": known}
    write_text(state / FILE, json.dumps(content, sort_keys=True) + "\n")
