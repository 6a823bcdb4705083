"""The form of the source: what a module may do on import, how long things may be, how called."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_BODY = 300, 30
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}
DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign,
    ast.AnnAssign,
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path, *folders: str) -> dict[str, str]:
    """Return the text of each file by its place, such as pipelines/core/folds.py."""
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8") for p in sorted(paths)}


def parsed(root: Path, *folders: str) -> dict[str, ast.Module]:
    return {place: ast.parse(text) for place, text in sources(root, *folders).items()}


def acting_imports(root: Path) -> list[str]:
    """Return the statements that act when a module is imported, instead of defining something."""
    return [
        f"{place}:{node.lineno} acts on import: {ast.unparse(node).splitlines()[0]}"
        for place, tree in parsed(root, "flows", "pipelines").items()
        for node in tree.body
        if not defines(node)
    ]


def defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in {"__name__ == '__main__'", "TYPE_CHECKING"}
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    return isinstance(node, DEFINITIONS)


def full_packages(root: Path) -> list[str]:
    return [
        f"{place} holds more than a docstring"
        for place, tree in parsed(root, "flows", "pipelines").items()
        if place.endswith("/__init__.py") and len(tree.body) > bool(ast.get_docstring(tree))
    ]


def empty_names(root: Path) -> list[str]:
    return [
        f"{place} has a name that says nothing"
        for place in sources(root, "flows", "pipelines", "tests")
        if BANNED_NAMES & set(Path(place).stem.split("_"))
    ]


def long_files(root: Path) -> list[str]:
    lengths = {
        place: len(text.splitlines())
        for place, text in sources(root, "flows", "pipelines", "tests").items()
    }
    return [f"{place} has {n} lines" for place, n in lengths.items() if n > MOST_LINES_OF_A_FILE]


def long_bodies(root: Path) -> list[str]:
    return [
        f"{place}:{node.lineno} {node.name} has a body of {body_lines(node)} lines"
        for place, tree in parsed(root, "flows", "pipelines", "tests").items()
        for node in ast.walk(tree)
        if isinstance(node, Function) and body_lines(node) > MOST_LINES_OF_A_BODY
    ]


def body_lines(function: Function) -> int:
    """Return the lines of a function's body; its docstring does not count."""
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


RULES = [acting_imports, full_packages, empty_names, long_files, long_bodies]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule):
    breaches = rule(ROOT)
    assert not breaches, "\n".join(breaches)


SOUND = (
    '"""A module."""\nimport os\nfrom typing import TYPE_CHECKING\n'
    "if TYPE_CHECKING:\n    import ast\n\nLEVELS, NAMES = [1], {}\nlimit: int = 3\n"
    'def run():\n    """Say\n    it.\n    """\n' + "    os.getcwd()\n" * 30 + "\n"
    "class Fault(Exception): ...\n\nif __name__ == '__main__':\n    run()\n"
)
BREACHES = [
    (acting_imports, "pipelines/a.py", "import os\nos.makedirs('data')", "a.py:2"),
    (acting_imports, "pipelines/a.py", "import os\nos.environ['A'] = 'b'", "a.py:2"),
    (acting_imports, "flows/a.py", "for name in 'ab':\n    print(name)", "a.py:1"),
    (acting_imports, "flows/a.py", "if True:\n    print(1)", "a.py:1"),
    (full_packages, "pipelines/core/__init__.py", '"""Say."""\nimport os', "core/__init__.py"),
    (full_packages, "flows/__init__.py", "import os", "flows/__init__.py"),
    (empty_names, "pipelines/core/table_utils.py", "", "table_utils.py"),
    (empty_names, "tests/helpers.py", "", "helpers.py"),
    (long_files, "flows/a.py", "a = 1\n" * 301, "301 lines"),
    (long_bodies, "flows/a.py", "def f():\n" + "    a = 1\n" * 31, "f has a body of 31 lines"),
]


def written(root: Path, place: str, text: str) -> Path:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_file_keeps_the_rule(rule, tmp_path):
    written(tmp_path, "pipelines/__init__.py", '"""The work."""')
    assert rule(written(tmp_path, "pipelines/core/folds.py", SOUND)) == []


@pytest.mark.parametrize(("rule", "place", "text", "words"), BREACHES)
def test_a_breach_of_the_rule_is_found(rule, place, text, words, tmp_path):
    (breach,) = rule(written(tmp_path, place, text))
    assert words in breach
