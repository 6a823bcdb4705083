"""The step `transfer`: a new search begins with configurations of earlier runs.

It looks for runs on similar tables in the project's MLflow, of all its projects, and writes the
configurations that were best there to paths.plan. A store that is away or slow is no reason to
wait or to fail: the search then begins with the families' defaults.
"""

import threading
from pathlib import Path

from evertune.config.loader import load_params
from evertune.data.readers import clean_or_raise, spec_from_params
from evertune.errors import EvertuneError
from evertune.files import read_record, read_table, write_record
from evertune.orchestration.steps import Step
from evertune.plan import Plan
from evertune.registry.mlflow_connection import embedded_address, tracking_address

TRANSFER = "transfer"
MAX_SECONDS = 30.0  # for a server to answer in


def transfer_step(root: Path) -> Step[str]:
    """Put what was best on similar tables before the first configurations of a new search."""
    return Step(TRANSFER, lambda: transfer_warm_starts(root), str, retried=False)


def transfer_warm_starts(root: Path, *, max_seconds: float = MAX_SECONDS) -> str:
    """Write the plan of a new search with first configurations of earlier runs.

    Parameters
    ----------
    root : Path
        The project's folder, of which a snapshot was taken; the caller holds its lock.

    Returns
    -------
    str
        Which runs the configurations come from, or why there are none; in one line.
    """
    params = load_params(root)
    plan = read_record(params.paths.plan, Plan)
    if plan != Plan():
        return "left out: the plan has its own first configurations"
    state = params.paths.state
    if tracking_address(state) == embedded_address(state) and not (state / "mlflow.db").exists():
        return "no earlier run"
    found: list[tuple[Plan, str] | Exception] = []

    def look() -> None:
        try:
            found.append(_plan_with_transfer(root))
        except (EvertuneError, ValueError) as error:
            found.append(error)

    # A thread can be left behind: a server that stops in the middle of an answer holds up no run.
    worker = threading.Thread(target=look, daemon=True, name=TRANSFER)
    worker.start()
    worker.join(max_seconds)
    if not found:
        return f"without earlier runs: MLflow took longer than {max_seconds:g} s"
    result = found[0]
    if isinstance(result, Exception):
        return f"without earlier runs: {result}"
    plan, text = result
    if plan.warm_starts:
        write_record(params.paths.plan, plan)
    return text


def _plan_with_transfer(root: Path) -> tuple[Plan, str]:
    """Return the plan, and what is said of it."""
    from evertune.registry.earlier_searches import find_transfer  # seconds to import
    from evertune.registry.mlflow_registry import open_registry

    params = load_params(root)
    source = read_table(params.paths.source)
    spec = spec_from_params(params.data, source)
    prepared = clean_or_raise(source, spec, source=params.data.source)
    found = find_transfer(
        open_registry(params), params, root, table=prepared.clean, schema=prepared.schema
    )
    if not found.configurations:
        return Plan(), "no earlier run on a similar table"
    families = ", ".join(dict.fromkeys(point.family for point in found.configurations))
    sources = ", ".join(f"{name} (distance {distance:.2f})" for name, distance in found.sources)
    n = len(found.configurations)
    return (
        Plan(warm_starts=found.configurations),
        f"{n} first configuration{'s' if n > 1 else ''} ({families}) from {sources}",
    )
