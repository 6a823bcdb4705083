"""Check `search` of params.yaml before a run begins, as far as its schema cannot.

The section's schema knows the families and the searchers; which hyperparameters a family has, which
values those take, and what a searcher needs, is known to `configurations` and `samplers`. Their
imports take seconds and are made only where there is something to check.
"""

from collections.abc import Iterator
from pathlib import Path

from evertune.config.loader import FILE, FORMER_SPACE_KEYS, load_params
from evertune.config.schema import SearchSection
from evertune.config.yaml_file import ParamsIssue, find_line, params_error, read_yaml

ALWAYS_USABLE = ("portfolio", "grid", "random", "tpe")


def check_search_params(root: Path) -> None:
    """Refuse a `search.space` that no search could use, and a searcher that cannot use it.

    Raises
    ------
    ParamsError
        A hyperparameter is not known, its values do not fit, or the searcher lacks something; the
        message has every line.
    """
    search = load_params(root).search
    special = search.searcher not in ALWAYS_USABLE
    if not search.space and not special:
        return
    document, former = read_yaml(root / FILE), {new: old for old, new in FORMER_SPACE_KEYS.items()}

    def line_of(key: str) -> int:
        section, *names = key.split(".")
        if section != "space":
            return find_line(document, f"search.{key}")
        family, name = names
        written = [
            f"search.space.{each}.{own}"
            for each in (family, former.get(family))
            for own in (name, former.get(name))
        ]
        return find_line(document, next(key for key in written if key in document.lines))

    faults = [ParamsIssue(line_of(key), text) for key, text in _faults(search, special=special)]
    if faults:
        raise params_error(root / FILE, faults)


def _faults(search: SearchSection, *, special: bool) -> Iterator[tuple[str, str]]:
    from evertune.search.configurations import space_faults

    space = {str(family): values for family, values in search.space.items()}
    for family, name, text in space_faults(space):
        yield f"space.{family}.{name}", text
    if special:
        from evertune.search.samplers import check_search
        from evertune.search.study import SearchConfig

        for key, text in check_search(SearchConfig.of(search)):
            yield key, f"search.{key}: {text}"
