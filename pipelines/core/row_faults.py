"""Which findings of the contract say that the rows of a window are broken.

That no newer rows came is worth an alert, and says nothing about those that are there.
"""

from pipelines.core.findings import Finding

FRESHNESS = "freshness"


def is_about_rows(finding: Finding) -> bool:
    """Return whether a finding judges the rows of its window by the contract."""
    return finding.layer == "contract" and finding.signal != FRESHNESS


def is_broken(finding: Finding) -> bool:
    """Return whether a finding says that the rows of its window are broken.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from pipelines.core.findings import Window
    >>> day = Window(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> is_broken(Finding("volume", "contract", day, 9.0, state="breach"))
    True
    >>> is_broken(Finding("freshness", "contract", day, 9.0, state="breach"))
    False
    """
    return is_about_rows(finding) and finding.state == "breach"
