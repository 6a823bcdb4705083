"""The report of an evaluation on disk: figures, pictures, one page of HTML and one of Markdown."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.core.assessments import Assessment
from pipelines.core.evaluation import Evaluation
from pipelines.core.reports import report_html, report_markdown
from pipelines.stores.files import replaced_folder, write_record, write_text


def write_report(  # noqa: PLR0913
    found: Evaluation,
    pictures: Mapping[str, bytes],
    *,
    figures: Path,
    plots: Path,
    report: Path,
    assessment: Assessment | None = None,
) -> None:
    """Write an evaluation; what the folders held before is replaced, the figures come last.

    Parameters
    ----------
    found : Evaluation
    pictures : mapping of str to bytes
        PNG by name.
    figures : Path
        The JSON file.
    plots, report : Path
        Folders.
    assessment : Assessment, optional
        Where the rows that judge are not the model's own hold-out.
    """
    with replaced_folder(plots) as folder:
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture)
    beside = Path(os.path.relpath(plots, report))
    places = {name: (beside / f"{name}.png").as_posix() for name in pictures}
    with replaced_folder(report) as folder:
        write_text(folder / "report.html", report_html(found, pictures, assessment))
        write_text(folder / "report.md", report_markdown(found, places, assessment))
    write_record(figures, found)
