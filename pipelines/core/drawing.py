"""How pictures become files: PNG without a trace of the time, and names that fit."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RED = "#a3271b"


def png(figure: Figure) -> bytes:
    """Return a figure as PNG: the same bytes for the same figure.

    Examples
    --------
    >>> png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def short_name(name: str, length: int = 24) -> str:
    """Return a name as plain text that fits; dollar signs would start a formula."""
    cut = name if len(name) <= length else name[: length - 1] + "…"
    return cut.replace("$", r"\$")
