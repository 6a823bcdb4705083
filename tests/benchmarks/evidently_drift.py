"""Drift and summary of a table by Evidently, in an environment of its own: prints JSON.

`tests/benchmarks/drift.py` starts it with the folder that holds reference.parquet and
current.parquet.
"""

import json
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time

import pandas as pd


def main(folder: Path) -> int:
    """Print what the report took, and which versions made it."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current")]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    numbers = tables[0].select_dtypes("number").columns.tolist()
    levels = [name for name in tables[0].columns if name not in numbers]
    columns = DataDefinition(numerical_columns=numbers, categorical_columns=levels)
    started, worked = perf_counter(), process_time()
    reference, current = (Dataset.from_pandas(each, data_definition=columns) for each in tables)
    report = Report([DataDriftPreset(), DataSummaryPreset()])
    report.run(current_data=current, reference_data=reference).dict()
    measured = {
        "seconds": perf_counter() - started,
        "processor_seconds": process_time() - worked,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "before_gigabytes": before,
        "versions": f"evidently {version('evidently')}, pandas {pd.__version__}",
    }
    sys.stdout.write(json.dumps(measured) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
