"""Put generated tables through the front door, and print what is read as what it is not.

Each table is written as CSV, Parquet or a database, and read by `evertune use`, the snapshot and
the stages `prepare` and `split`. Prints every failure with its seed and its smallest example, and
how often each message refused a table.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.support.generated import Frame, frames, read_frame

FRAMES_A_SEED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given_ = parser.parse_args()
    outcomes: Counter[str] = Counter()
    failures = 0
    for number in range(-(-given_.frames // FRAMES_A_SEED)):
        first = given_.seed + number
        if failure := fails(first, min(FRAMES_A_SEED, given_.frames), outcomes):
            failures += 1
            sys.stdout.write(f"--seed {first} --frames {FRAMES_A_SEED}:\n{failure}\n\n")
            sys.stdout.flush()
    sys.stdout.write(f"{outcomes.total()} tables, {failures} seeds with failures\n")
    for outcome, count in outcomes.most_common(40):
        sys.stdout.write(f"{count:6}  {outcome}\n")


def fails(first: int, n_frames: int, outcomes: Counter[str]) -> str:
    """Return the smallest example of what fails among the tables of a seed, "" if none does."""

    @seed(first)
    @settings(
        max_examples=n_frames,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(frames())
    def check(frame: Frame) -> None:
        with tempfile.TemporaryDirectory() as folder:
            refusal = read_frame(frame, Path(folder))
        outcomes[kind_of(refusal)] += 1

    try:
        check()
    except Exception as error:
        example = "\n".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {str(error)[:1500]}\n{example[:4000]}"
    return ""


def kind_of(refusal: str) -> str:
    """Return a message without the names and numbers of one table, so that kinds can be counted."""
    lines = [line for line in refusal.split("\n") if line]
    if not lines:
        return "read"
    text = lines[1] if len(lines) > 1 else lines[0]
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|`[^`]*`", "...", text)
    return re.sub(r"[0-9]+", "n", text)[:100]


if __name__ == "__main__":
    main()
