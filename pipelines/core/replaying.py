"""What playing a table through the loop showed: events, losses by window, and what it all cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.core.findings import Window

Policy = Literal["loop", "never", "scheduled", "oracle"]
EventKind = Literal[
    "trained", "alarmed", "waited", "blocked", "refitted", "retuned", "promoted", "refused",
    "failed", "rolled back",
]  # fmt: skip
FITS = ("trained", "refitted", "retuned")
POLICIES: tuple[Policy, ...] = ("never", "scheduled", "loop", "oracle")


@dataclass(frozen=True)
class Event:
    """Something that happened while a table was played.

    Attributes
    ----------
    moment : datetime
        By the table's own time.
    kind : str
        `refitted` and `retuned` are attempts; what came of one follows as an event of its own.
    version : str, optional
        Of the model that it is about.
    detail : str
        One sentence for a person.
    """

    moment: datetime
    kind: EventKind
    version: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class WindowLoss:
    """The loss of one window's predictions, on all its labels, however late they came.

    Attributes
    ----------
    window : Window
    loss : float, optional
        Mean loss a row, 0 to 1; None where the window has no rows.
    version : str, optional
        Of the model that made the last of the predictions.
    """

    window: Window
    loss: float | None
    version: str | None = None


@dataclass(frozen=True)
class Played:
    """How a table went under one policy.

    Attributes
    ----------
    policy : str
        `loop`; `never`: the first model for good; `scheduled`: fitted anew every window, without
        a gate; `oracle`: in each window whichever model turns out best in it, of all that could
        have been fitted by its start.
    losses : tuple of WindowLoss
        One a window, oldest first.
    events : tuple of Event
        Oldest first.
    """

    policy: Policy
    losses: tuple[WindowLoss, ...]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Prices:
    """What one fit costs, and what one unit of loss on one row costs."""

    fit: float = 1.0
    loss: float = 1.0


@dataclass(frozen=True)
class Summary:
    """One policy in figures.

    Attributes
    ----------
    policy : str
    loss : float, optional
        Mean loss a row over all windows.
    excess : float, optional
        Sum over rows of what its loss is above the oracle's; None where no oracle was played.
    fits, promotions, refused, rolled_back : int
        The first model is counted in none of them.
    cost : float, optional
        Of fits and excess loss together.
    """

    policy: Policy
    loss: float | None
    excess: float | None
    fits: int
    promotions: int
    refused: int
    rolled_back: int
    cost: float | None


def mean_loss(losses: Iterable[WindowLoss]) -> float | None:
    """Return the mean loss a row over windows; None where there are no rows.

    Examples
    --------
    >>> from datetime import UTC
    >>> first, second = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 8, tzinfo=UTC)
    >>> empty = WindowLoss(Window(second, second), None)
    >>> mean_loss([WindowLoss(Window(first, second, 4), 0.25), empty])
    0.25
    """
    known = [(each.window.n_rows, each.loss) for each in losses if each.loss is not None]
    n_rows = sum(n for n, _ in known)
    return sum(n * loss for n, loss in known) / n_rows if n_rows else None


def summaries(played: Sequence[Played], *, prices: Prices) -> tuple[Summary, ...]:
    """Return every policy in figures, in the order in which they were played.

    The cost of a policy is the price of a fit for every fit after the first model, and the price
    of loss for all that its loss is above the oracle's. The oracle knows what nobody can know;
    its fits are free.

    Parameters
    ----------
    played : sequence of Played
        Policies over the same windows.
    prices : Prices
    """
    oracle = next((each for each in played if each.policy == "oracle"), None)
    return tuple(_summary(each, oracle, prices) for each in played)


def excess_loss(ours: Sequence[WindowLoss], best: Sequence[WindowLoss]) -> float:
    """Return the sum over rows of what one policy's loss is above another's.

    Raises
    ------
    ValueError
        If they are of different windows.
    """
    if [each.window.start for each in ours] != [each.window.start for each in best]:
        raise ValueError(
            f"Both must have the same windows. Got {len(ours)} and {len(best)} that differ instead."
        )
    pairs = zip(ours, best, strict=True)
    return sum(
        left.window.n_rows * (left.loss - right.loss)
        for left, right in pairs
        if left.loss is not None and right.loss is not None
    )


def counted(events: Iterable[Event]) -> Counter[str]:
    """Return how often each kind of event happened, the first model's training left out."""
    return Counter(each.kind for each in events if each.kind != "trained")


def event_line(event: Event) -> str:
    """Return an event as a line of the timeline.

    Examples
    --------
    >>> from datetime import UTC
    >>> event_line(Event(datetime(2024, 5, 1, tzinfo=UTC), "promoted", "2", "better by 0.05"))
    '2024-05-01 00:00  promoted     version 2: better by 0.05'
    """
    about = f"version {event.version}" if event.version else ""
    said = ": ".join(part for part in (about, event.detail) if part)
    return f"{event.moment:%Y-%m-%d %H:%M}  {event.kind:<12} {said}".rstrip()


def window_lines(played: Sequence[Played], *, width: int = 24) -> Iterator[str]:
    """Yield a line for each window: its loss under every policy, and a bar of the first policy's.

    Parameters
    ----------
    played : sequence of Played
        Policies over the same windows.
    width : int
        Characters of a bar of the largest loss.
    """
    losses = [each.loss for one in played for each in one.losses if each.loss is not None]
    most = max(losses, default=0.0) or 1.0
    yield "window            rows" + "".join(f"{one.policy:>11}" for one in played)
    for at_once in zip(*(one.losses for one in played), strict=True):
        window, loss = at_once[0].window, at_once[0].loss
        figures = "".join(f"{_text(each.loss):>11}" for each in at_once)
        bar = "#" * round(width * (loss or 0.0) / most)
        yield f"{window.start:%Y-%m-%d}  {window.n_rows:>10}{figures}  {bar}".rstrip()


def summary_lines(found: Iterable[Summary]) -> Iterator[str]:
    """Yield a line for each policy, under a line of titles."""
    yield "policy         loss  fits  promoted  refused  back       cost"
    for each in found:
        yield (
            f"{each.policy:<10}{_text(each.loss):>9}{each.fits:>6}{each.promotions:>10}"
            f"{each.refused:>9}{each.rolled_back:>6}{_text(each.cost, '.1f'):>11}"
        )


def _summary(played: Played, oracle: Played | None, prices: Prices) -> Summary:
    times = counted(played.events)
    fits = times["refitted"] + times["retuned"]
    excess = None if oracle is None else excess_loss(played.losses, oracle.losses)
    paid = 0 if played.policy == "oracle" else fits
    return Summary(
        policy=played.policy,
        loss=mean_loss(played.losses),
        excess=excess,
        fits=fits,
        promotions=times["promoted"],
        refused=times["refused"],
        rolled_back=times["rolled back"],
        cost=None if excess is None else paid * prices.fit + excess * prices.loss,
    )


def _text(figure: float | None, form: str = ".4f") -> str:
    return "-" if figure is None else format(figure, form)
