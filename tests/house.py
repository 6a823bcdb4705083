"""The house as its source shows it: who imports whom, and what dvc.yaml should say of each stage.

`python -m tests.house` prints what `params` and code `deps` of each stage should be.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
VERBS_MAY = {
    "library",
    "service",
    "tuning",
    "stores",
    "core",
    "params",
    "sections",
    "errors",
    "example",
}
MAY_IMPORT = {
    "flows": {"flows", "verbs", *VERBS_MAY},
    "verbs": VERBS_MAY,
    "library": {"library", "tuning", "stores", "core", "sections", "errors"},
    "service": {"service", "stores", "core", "params", "sections", "errors"},
    "params": {"params", "stores", "core", "sections", "errors"},
    "stores": {"stores", "core", "sections", "errors"},
    "sections": {"sections", "core"},
    "tuning": {"tuning", "core"},
    "core": {"core"},
    "example": {"core"},
    "errors": set(),
}
ROOMS = {
    "act": "params",
    "agreement": "params",
    "deciding": "params",
    "estimator": "library",
    "gathering": "params",
    "judge": "params",
    "refusals": "params",
    "scene": "params",
    "section": "sections",
    "production": "sections",
    "proving": "params",
} | {name: name for name in MAY_IMPORT}
SQL = (
    "sources", "database", "log_tables", "predictions", "exports", "labels", "decisions", "windows",
    "records",
)  # fmt: skip
DOORS = {
    "prefect": ("flows/",),
    "ray": ("pipelines/tuning/",),
    "mlflow": ("pipelines/stores/tracking.py", "pipelines/stores/served.py"),
    **dict.fromkeys(
        ["sqlalchemy", "sqlite3", "psycopg"], tuple(f"pipelines/stores/{name}.py" for name in SQL)
    ),
    **dict.fromkeys(
        ["dvc", "git", "pygit2", "dulwich", "scmrepo"],
        ("pipelines/stores/versions.py", "pipelines/stores/repositories.py"),
    ),
}
# each stage with those right before it: the drawing of the design
GRAPH = {
    "prepare": set(),
    "split": {"prepare"},
    "baseline": {"split"},
    "search": {"split"},
    "fit": {"baseline", "search"},
    "evaluate": {"baseline", "fit", "split"},
}
# what refuses or words messages: no result depends on it, so no stage runs anew for it
REFUSING = {"params", "sections", "errors"}
WORDING = "pipelines.core.wording"
Imports = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Return the house's files by their dotted names, such as pipelines.core.folds."""
    paths = sorted([*root.glob("flows/**/*.py"), *root.glob("pipelines/**/*.py")])
    parts = {path: path.relative_to(root).with_suffix("").parts for path in paths}
    return {".".join(names).removesuffix(".__init__"): path for path, names in parts.items()}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are imported, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def parsed_without_types(path: Path) -> ast.Module:
    """Return a module without what only a type checker imports."""
    body = [n for n in parsed(path).body if not ast.unparse(n).startswith("if TYPE_CHECKING:")]
    return ast.Module(body, type_ignores=[])


def house_module(name: str, known: dict[str, Path]) -> str:
    """Return the module of the house that a dotted name stands in, or an empty string."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def house_imports(root: Path, read: Callable[[Path], ast.Module]) -> Imports:
    known = modules(root)
    return {
        module: {house_module(name, known) for name in imported_names(read(path))} - {""}
        for module, path in known.items()
    }


def computing(imports: Imports) -> Imports:
    """Return the imports between modules that results can depend on."""
    mute = {name for name in imports if room(name) in REFUSING} | {WORDING}
    return {name: others - mute for name, others in imports.items()}


def reached(module: str, imports: Imports) -> set[str]:
    found: set[str] = set()
    waiting = {module}
    while waiting:
        waiting = {other for name in waiting for other in imports[name]} - found
        found |= waiting
    return found


def room(module: str) -> str:
    """Return the room of a module; one of pipelines that has no room of its own is a verb."""
    first, _, rest = module.partition(".")
    return "flows" if first == "flows" else ROOMS.get(rest.split(".")[0], "verbs")


def wrong_arrows(root: Path) -> list[str]:
    return [
        f"{module} ({room(module)}) must not import {other} ({room(other)})"
        for module, others in house_imports(root, parsed).items()
        for other in sorted(others)
        if room(other) not in MAY_IMPORT[room(module)]
    ]


def wrong_doors(root: Path) -> list[str]:
    return [
        f"{module} imports {tool}, which only {' and '.join(DOORS[tool])} may"
        for module, path in modules(root).items()
        for tool in sorted({name.split(".")[0] for name in imported_names(parsed(path))})
        if not path.relative_to(root).as_posix().startswith(DOORS.get(tool, ("",)))
    ]


def circles(root: Path) -> list[str]:
    imports = house_imports(root, parsed_without_types)
    return [
        f"{name} imports itself in a circle" for name in imports if name in reached(name, imports)
    ]


def wrong_stages(root: Path) -> list[str]:
    """Return what differs between dvc.yaml and the code, as it should stand there."""
    return [
        f"dvc.yaml, {stage}: {key} should be\n{listed(expected)}"
        for stage in GRAPH
        for key, expected in expected_stage(root, stage).items()
        if sorted(stated_stage(root, stage)[key]) != sorted(expected)
    ]


def expected_stage(root: Path, stage: str) -> dict[str, list[str]]:
    return {
        "cmd": [f"python -m pipelines.{stage}"],
        "params": sections_of_run(modules(root)[f"pipelines.{stage}"]),
        "deps": code_dependencies(root, f"pipelines.{stage}"),
        "files": sorted(set().union(*map(files_named, steps_of(root, f"pipelines.{stage}")))),
    }


def steps_of(root: Path, verb: str) -> list[Path]:
    """Return a verb and the modules of the library that read and write for it."""
    known, imports = modules(root), house_imports(root, parsed_without_types)
    behind = {name for name in reached(verb, imports) if room(name) == "library"}
    return [known[name] for name in (verb, *behind)]


def stated_stage(root: Path, stage: str) -> dict[str, list[str]]:
    entry = stages(root)[stage]
    code = [place for place in entry["deps"] if not place.startswith("${")]
    files = {place for place in entry["deps"] if place.startswith("${")} | written_by(entry)
    return {"cmd": [entry["cmd"]], "params": entry["params"], "deps": code, "files": sorted(files)}


def stages(root: Path) -> dict:
    return YAML(typ="safe").load(root / "dvc.yaml")["stages"]


def sections_of_run(path: Path) -> list[str]:
    functions = [n for n in parsed(path).body if isinstance(n, ast.FunctionDef)]
    return [a.arg for run in functions if run.name == "run" for a in run.args.kwonlyargs]


def code_dependencies(root: Path, verb: str) -> list[str]:
    """Return a verb, the modules of core and tuning that it reaches, their pages and the pins."""
    known, imports = modules(root), house_imports(root, parsed_without_types)
    found = reached(verb, computing(imports))
    thinking = sorted(known[name] for name in found if room(name) in {"core", "tuning"})
    paths = [known[verb], *thinking, *(page for path in thinking for page in pages(path))]
    return [path.relative_to(root).as_posix() for path in paths] + ["infra/constraints.txt"]


def pages(path: Path) -> list[Path]:
    """Return the templates beside a module that it names."""
    text = path.read_text(encoding="utf-8")
    return [page for page in sorted(path.parent.glob("*.jinja")) if page.name in text]


def files_named(path: Path) -> list[str]:
    """Return the files of a project that a verb names; `state` is no stage's."""
    names = {
        n.attr
        for n in ast.walk(parsed(path))
        if ast.unparse(n).startswith("paths.")
        and isinstance(n, ast.Attribute)
        and ast.unparse(n.value) == "paths"
    }
    return sorted(f"${{paths.{name.removeprefix('table_')}}}" for name in names - {"state"})


def listed(places: list[str]) -> str:
    return "\n".join(f"      - {place}" for place in places)


def graph(root: Path) -> Imports:
    """Return the stages that each stage follows, by the files that one writes and one reads."""
    entries = stages(root)
    return {
        stage: {other for other in entries if written_by(entries[other]) & set(entry["deps"])}
        for stage, entry in entries.items()
    }


def written_by(entry: dict) -> set[str]:
    outs = [out for key in ("outs", "metrics", "plots") for out in entry.get(key, [])]
    return {place for out in outs for place in ([out] if isinstance(out, str) else out)}


def shown_stages() -> str:
    return "\n".join(
        f"{stage}: {key}\n{listed(expected)}"
        for stage in GRAPH
        if f"pipelines.{stage}" in modules(ROOT)
        for key, expected in expected_stage(ROOT, stage).items()
    )


if __name__ == "__main__":
    sys.stdout.write(f"{shown_stages()}\n")
