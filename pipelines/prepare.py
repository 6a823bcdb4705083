"""Stage `prepare`: clean the source table, add labelled rows of production, infer the schema.

Reads the source and the labelled rows of production. Writes the clean table and its schema. Columns
that cannot be features are left out and rows without a target are dropped; both are printed.
"""

import sys

from evertune.config.loader import run_stage
from evertune.config.schema import DataSection, PathsSection
from evertune.data.feedback import merge_feedback
from evertune.data.readers import clean_or_raise, spec_from_params
from evertune.files import read_table, write_record, write_table
from evertune.stages.prepare import describe_preparation


def run(*, paths: PathsSection, data: DataSection) -> None:
    """Prepare the source table; one error lists all of its faults."""
    source = read_table(paths.source)
    spec = spec_from_params(data, source)
    prepared = clean_or_raise(source, spec, source=data.source)
    merged = merge_feedback(prepared, read_table(paths.production_labels), spec)
    write_table(paths.clean, merged.clean)
    write_record(paths.table_schema, merged.schema)
    sys.stdout.write(describe_preparation(prepared, merged))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
