"""Check `search.space` of params.yaml before a run begins.

The section's schema knows the families; which hyperparameters they have, and which values those
take, is known to `evertune.search`. Its imports take seconds and are made only where there is a
space to check.
"""

from pathlib import Path

from evertune.config.loader import FILE, FORMER_SPACE_KEYS, load_params
from evertune.config.yaml_file import ParamsIssue, find_line, params_error, read_yaml


def check_space(root: Path) -> None:
    """Refuse a `search.space` that no search could use.

    Raises
    ------
    ParamsError
        A hyperparameter is not known, or its values do not fit; the message has every line.
    """
    space = {str(family): values for family, values in load_params(root).search.space.items()}
    if not space:
        return
    from evertune.search.configurations import space_faults

    document, former = read_yaml(root / FILE), {new: old for old, new in FORMER_SPACE_KEYS.items()}

    def line_of(family: str, name: str) -> int:
        written = [
            f"search.space.{each}.{own}"
            for each in (family, former.get(family))
            for own in (name, former.get(name))
        ]
        return find_line(document, next(key for key in written if key in document.lines))

    faults = [
        ParamsIssue(line_of(family, name), text) for family, name, text in space_faults(space)
    ]
    if faults:
        raise params_error(root / FILE, faults)
