"""What the modules of the packages owe one another: no cycle, a docstring, one reading's length, no foreign private name.

The layers themselves are stated in pyproject.toml, and `lint-imports` holds them.
"""

import ast
from pathlib import Path

import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("netshare", "postprocess", "preprocess")
                 for path in (REPOSITORY / folder).rglob("*.py"))  # fmt: skip

MAX_LINES = 450
MAX_PARAMETERS = 9  # about eight: what is written, and where, count too


def named(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line}"


@pytest.fixture(scope="module")
def nodes() -> dict[Path, list[ast.AST]]:
    """The syntax tree of every module, its module node first."""
    return {path: list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Who imports whom in netshare; imports within functions count like all others."""
    return grimp.build_graph("netshare", cache_dir=None)


def cycles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """The strongly connected components of more than one name."""
    names = sorted({name for arrow in arrows for name in arrow})
    number = {name: at for at, name in enumerate(names)}
    ends = np.array([[number[start], number[end]] for start, end in arrows]).T
    matrix = coo_array((np.ones(ends.shape[1]), ends), shape=(len(names), len(names)))
    _, component = connected_components(matrix, directed=True, connection="strong")
    found = [[name for name in names if component[number[name]] == label] for label in np.unique(component)]
    return [members for members in found if len(members) > 1]


def test_a_cycle_is_found():
    assert cycles({("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")}) == [["b", "c"]]


def test_no_modules_import_one_another_in_a_circle(imports):
    arrows = {
        (module, other) for module in imports.modules for other in imports.find_modules_directly_imported_by(module)
    }
    assert len(arrows) > 1000
    assert cycles(arrows) == []


def test_no_folders_import_one_another_in_a_circle(imports):
    def folder(module: str) -> str:
        return ".".join(module.split(".")[:2])

    arrows = {(folder(module), folder(other)) for module in imports.modules - {"netshare"}
              for other in imports.find_modules_directly_imported_by(module) - {"netshare"}}  # fmt: skip
    assert cycles({(start, end) for start, end in arrows if start != end}) == []


def test_every_module_says_what_it_is_for(nodes):
    assert [named(path) for path, found in nodes.items() if not ast.get_docstring(found[0])] == []


def test_every_module_fits_in_one_reading():
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_function_takes_many_parameters(nodes):
    def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        given = function.args
        listed = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        return len([one for one in listed if one.arg not in ("self", "cls")])

    many = {
        f"{named(path, node.lineno)} {node.name}": parameters(node)
        for path, found in nodes.items()
        for node in found
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > MAX_PARAMETERS
    }
    assert not many, "\n".join(f"{name}: {count}" for name, count in many.items())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def private_names_defined(found: list[ast.AST]) -> set[str]:
    """Private functions, classes, variables and attributes that a module makes."""
    names: set[str] = set()
    for node in found:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if is_private(name)}


def private_names_used(found: list[ast.AST]) -> dict[str, int]:
    """Private names that a module imports, or reads from anything but `self` and `cls`, with a line of each."""
    used: dict[str, int] = {}
    for node in found:
        if isinstance(node, ast.ImportFrom):
            used |= {alias.name: node.lineno for alias in node.names if is_private(alias.name)}
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls")):
                used[node.attr] = node.lineno
    return used


def test_no_private_name_is_used_outside_its_folder(nodes):
    own: dict[Path, set[str]] = {}
    for path, found in nodes.items():
        own.setdefault(path.parent, set()).update(private_names_defined(found))
    ours = set().union(*own.values())  # private names of other libraries are another matter
    foreign = [
        f"{named(path, line)} {name}"
        for path, found in nodes.items()
        for name, line in private_names_used(found).items()
        if name in ours - own[path.parent]
    ]
    assert not foreign, "\n".join(foreign)
