"""Which modules of a package import which, read from their source without importing them.

Imports inside functions count, imports for types alone (`if TYPE_CHECKING:`) don't.
"""

import ast
from collections.abc import Callable, Collection, Iterable
from pathlib import Path


def module_files(package: Path) -> dict[str, Path]:
    """Return the file of every module below a package's folder, by dotted name.

    A subpackage has the name of its folder; its file is `__init__.py`.
    """
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    return files


def imported_names(tree: ast.AST) -> list[str]:
    """Return the dotted names that a module imports, such as `evertune.types.Task`."""
    names: list[str] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        waiting += ast.iter_child_nodes(node)
    return names


def imported_modules(names: Iterable[str], modules: Collection[str]) -> set[str]:
    """Return the modules that imported names name, or lie in.

    Examples
    --------
    >>> imported_modules(["evertune.types.Task", "numpy.linalg"], {"evertune", "evertune.types"})
    {'evertune.types'}
    """
    found = set()
    for name in names:
        module = name
        while module and module not in modules:
            module = module.rpartition(".")[0]
        found.add(module)
    return found - {""}


def reachable_modules(starts: Iterable[str], imports: Callable[[str], Iterable[str]]) -> set[str]:
    """Return modules with all that they import, directly or not.

    Parameters
    ----------
    imports : function
        Returns the modules that a module imports.
    """
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imports(module)
    return reached
