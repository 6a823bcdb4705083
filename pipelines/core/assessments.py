"""A version judged by another table than its own hold-out."""

from dataclasses import dataclass

from pipelines.core.names import figure_text, metric_name


@dataclass(frozen=True)
class OwnFigure:
    """A figure on the table, beside that on the version's own hold-out.

    Attributes
    ----------
    metric : str
    figure, low, high : float, optional
        On the table.
    own, own_low, own_high : float, optional
        On the version's own hold-out.
    """

    metric: str
    figure: float | None
    low: float | None = None
    high: float | None = None
    own: float | None = None
    own_low: float | None = None
    own_high: float | None = None


@dataclass(frozen=True)
class Assessment:
    """What an evaluation on demand was about.

    Attributes
    ----------
    model : str
        The registered model's name.
    version : str
    table : str
        The file's name.
    digest : str
        Hash of the table's cells.
    n_rows : int
        Rows of the table.
    n_judged : int
        Those that judged.
    n_trained : int
        Rows that the version was trained or chosen on, which were left out.
    n_unlabelled : int
        Rows without a target, which were left out.
    n_repeated : int
        Rows that judged and repeat an earlier one.
    n_unseen : int
        Rows that judged with a category that the version never met.
    figures : tuple of OwnFigure
        The metric that is optimised comes first.
    """

    model: str
    version: str
    table: str
    digest: str
    n_rows: int
    n_judged: int
    n_trained: int = 0
    n_unlabelled: int = 0
    n_repeated: int = 0
    n_unseen: int = 0
    figures: tuple[OwnFigure, ...] = ()


def assessment_line(found: Assessment) -> str:
    """Return the main figure beside that of the version's own hold-out, in one line.

    Examples
    --------
    >>> row = OwnFigure("roc_auc", 0.81, 0.8, 0.82, own=0.85)
    >>> assessment_line(Assessment("churn", "3", "may.csv", "a1", 900, 890, figures=(row,)))
    'version 3 on may.csv: ROC AUC 0.810 (0.800 to 0.820) on 890 rows; on its own hold-out 0.850'
    """
    row = found.figures[0]
    ends = f" ({figure_text(row.low)} to {figure_text(row.high)})" if row.low is not None else ""
    own = "not known" if row.own is None else figure_text(row.own)
    return (
        f"version {found.version} on {found.table}: {metric_name(row.metric)}"
        f" {figure_text(row.figure)}{ends} on {found.n_judged:,} rows; on its own hold-out {own}"
    )


def left_out_lines(found: Assessment) -> tuple[str, ...]:
    """Return what was left out or is to be known of the rows, a sentence each.

    Examples
    --------
    >>> left_out_lines(Assessment("churn", "3", "may.csv", "a1", 900, 890, n_trained=10))
    ('10 rows were left out: the version was trained or chosen on them.',)
    """
    said = (
        (found.n_trained, "were left out: the version was trained or chosen on them."),
        (found.n_unlabelled, "were left out: they have no target."),
        (found.n_repeated, "repeat an earlier row; they count again."),
        (found.n_unseen, "have a category that the version never met; it learned nothing of it."),
    )
    return tuple(f"{n:,} {'row' if n == 1 else 'rows'} {text}" for n, text in said if n)
