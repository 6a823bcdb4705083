"""Blank pictures in the project's style."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE = "#1f5fa8"
GREY = "#9aa3ad"


def blank(size: tuple[float, float], *, title: str, x: str, y: str = "") -> Axes:
    """Return the axes of a new figure of so many inches, with a title and the axes' names.

    Examples
    --------
    >>> blank((4.0, 3.0), title="Loss", x="Seconds").get_xlabel()
    'Seconds'
    """
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    return styled(figure.add_subplot(), title=title, x=x, y=y)


def styled(axes: Axes, *, title: str, x: str, y: str = "") -> Axes:
    """Return axes with a title on the left, names with units, and no frame above and right."""
    axes.set_title(title, fontsize=11, loc="left", pad=10)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes are part of.

    Examples
    --------
    >>> len(figure_of(blank((4.0, 3.0), title="", x="")).axes)
    1
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
