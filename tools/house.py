"""Measure the house: files, lines, medians, recipe keys, packages and vague names of `src/segue`.

    python tools/house.py [--json] [--names] [FOLDER]

`FOLDER` is another checkout, to compare with. Code lines are lines that hold code: no blank lines, comments or
docstrings. Sources of logs (`data/sources`) are counted apart. A name is vague if it says what happened to a value
and not what the value is; every assignment, parameter and loop variable counts as one binding.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

VAGUE: Final = frozenset({"found", "place", "own", "known", "held", "drawn", "asked", "kept", "told", "rest"})
"""Names that say what happened to a value."""
_NO_CODE: Final = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_SOURCES: Final = "data/sources/"


def code_lines(text: str) -> int:
    """Return how many lines of a module hold code."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstring_lines(ast.parse(text)))


def _docstring_lines(module: ast.Module) -> set[int]:
    """Return the lines of texts that stand as statements."""
    lines = set[int]()
    for node in ast.walk(module):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text:
            assert isinstance(node, ast.Expr)
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def function_lengths(module: ast.Module) -> list[int]:
    """Return the lines of each function."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]


def bindings(module: ast.Module) -> Iterator[str]:
    """Yield each name that is bound: by assignment, as a parameter, or by a loop."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def recipe_keys() -> int:
    """Return how many dotted keys a recipe may have; a key that several kinds share counts once, `kind` not at all."""
    from dataclasses import fields

    from segue.batches.split import DataConfig
    from segue.losses import NEXT_TRACK, TERMS
    from segue.model.encoders.registry import ENCODER_CONFIGS
    from segue.model.heads import HEADS
    from segue.model.inputs import INPUTS
    from segue.recipes import EvaluationConfig, TrainingConfig

    sections: list[tuple[str, type[Any]]] = [
        ("data", DataConfig),
        ("training", TrainingConfig),
        ("evaluation", EvaluationConfig),
        *(("encoder", config) for config in ENCODER_CONFIGS.values()),
        *(("next_track", config) for config in NEXT_TRACK.values()),
        *(("terms", config) for config in TERMS.values()),
        *((f"inputs.{name}", part.config_type) for name, part in INPUTS.items()),
        *((f"heads.{name}", part.config_type) for name, part in HEADS.items()),
    ]
    return len({(section, field.name) for section, config in sections for field in fields(config)})


def measured(root: Path) -> dict[str, Any]:
    """Return the measures of the checkout `root`."""
    folder = root / "src" / "segue"
    files = sorted(folder.rglob("*.py"))
    texts = {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}
    modules = {name: ast.parse(text) for name, text in texts.items()}
    code = {name: code_lines(text) for name, text in texts.items()}
    lengths = [length for module in modules.values() for length in function_lengths(module)]
    names = Counter(name for module in modules.values() for name in bindings(module))
    vague = {name: names[name] for name in sorted(VAGUE) if names[name]}
    return {
        "files": len(files),
        "lines": sum(len(text.splitlines()) for text in texts.values()),
        "code_lines": sum(code.values()),
        "code_lines_without_sources": sum(lines for name, lines in code.items() if not name.startswith(_SOURCES)),
        "median_file_lines": statistics.median(len(text.splitlines()) for text in texts.values()),
        "longest_file_lines": max(len(text.splitlines()) for text in texts.values()),
        "functions": len(lengths),
        "median_function_lines": statistics.median(lengths),
        "longest_function_lines": max(lengths),
        "packages": sum(file.name == "__init__.py" for file in files),
        "bindings": names.total(),
        "vague_names": sum(vague.values()),
        "vague_by_name": vague,
    }


def main() -> None:
    """Print the measures of a checkout."""
    parser = argparse.ArgumentParser(description="Measure the house.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.folder) | {"recipe_keys": recipe_keys()}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
