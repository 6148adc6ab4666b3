"""The house's hard limits: files, functions, parameters, nesting, names, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "segue").rglob("*.py"))
MAX_FILE = 400
MAX_FUNCTION = 60
MAX_PARAMETERS = 6
MAX_NESTING = 4
"""Blocks inside one another; the style asks for 3, the guard stops at 4."""
VAGUE = {"utils", "util", "common", "base", "helpers", "helper", "misc"}
KERNELS = ("triton.jit", "custom_op", "register_fake")
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def _lines(node: Function) -> int:
    """Return the lines of the body, docstring not counted."""
    documented = ast.get_docstring(node) is not None
    body = node.body[1:] if documented and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


def _parameters(node: Function) -> int:
    """Return the parameters that a caller must think of: without self, progress and autograd's context.

    A kernel's are none of a caller's: they are flat because the device or the operator registry wants them so.
    """
    if any(kind in ast.unparse(decorator) for decorator in node.decorator_list for kind in KERNELS):
        return 0
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls", "progress", "context") for argument in arguments)


def _nesting(node: ast.AST, depth: int = 0) -> int:
    """Return the deepest block within `node`; `elif` is no deeper than its `if`."""
    deepest = depth
    for name, value in ast.iter_fields(node):
        chained = name == "orelse" and isinstance(node, ast.If) and len(value) == 1 and isinstance(value[0], ast.If)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, Function | ast.ClassDef):
                inside = depth + (isinstance(child, BLOCKS) and not chained)
                deepest = max(deepest, _nesting(child, inside))
    return deepest


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_stays_within_its_limits(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE
    assert not VAGUE & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    for node in _functions(path):
        where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        assert _lines(node) <= MAX_FUNCTION, f"{where} is longer than {MAX_FUNCTION} lines"
        assert _nesting(node) <= MAX_NESTING, f"{where} is nested deeper than {MAX_NESTING} blocks"
        allowed = node.name == "__init__" or _parameters(node) <= MAX_PARAMETERS
        assert allowed, f"{where} takes more than {MAX_PARAMETERS} parameters"


def test_files_of_tests_stay_within_the_limit_too() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path.relative_to(ROOT)) for path, num in lines.items() if num > MAX_FILE} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_everything_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    holders: list[ast.Module | ast.ClassDef] = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]
    bare = [
        node.name
        for holder in holders
        for node in holder.body
        if isinstance(node, Function | ast.ClassDef)
        and not node.name.startswith("_")
        and not (isinstance(holder, ast.ClassDef) and (holder.name.startswith("_") or _inherited(node)))
        and ast.get_docstring(node) is None
    ]
    assert not bare, f"{path.relative_to(ROOT)} lacks docstrings: {bare}"


def _inherited(node: ast.stmt) -> bool:
    """Return whether a method fulfils a documented abstract one (`forward`, `next_state`, `score`)."""
    return isinstance(node, Function) and node.name in {"forward", "next_state", "score"}


def test_the_walk_sees_what_it_should() -> None:
    deep = "def f(a):\n if a:\n  for b in a:\n   while b:\n    with b:\n     try: b()\n     finally: pass\n"
    chain = "def f(a):\n if a:\n  pass\n elif a:\n  pass\n elif a:\n  pass\n"
    assert _nesting(ast.parse(deep).body[0]) == 5
    assert _nesting(ast.parse(chain).body[0]) == 1
    assert len(SOURCES) > 20
