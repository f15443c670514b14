"""The rules of the house that no linter has: sizes, names, who may print, who may read the environment."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = ("broker", "jobs", "providers", "tests", "examples", "benchmarks")
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SHIPPED = [path for path in FILES if path.parts[0] in {"broker", "jobs", "providers"}]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
# A child process gets an environment that is built, and a worker reads its own.
MAY_READ_ENVIRONMENT = ("broker/settings/", "broker/worker/", "broker/cli/detach")


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def lines_of(path: Path) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()


def long_functions(path: Path) -> list[str]:
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [f"{path}:{node.lineno} {node.name}: {size}" for node, size in sizes if size > MAX_FUNCTION_LINES]


def calls_of(path: Path, name: str) -> list[str]:
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    return [f"{path}:{one.lineno}" for one in calls if isinstance(one.func, ast.Name) and one.func.id == name]


def environment_reads(path: Path) -> list[str]:
    nodes = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)]
    return [f"{path}:{node.lineno}" for node in nodes if node.attr in {"environ", "getenv"}]


def silent_broad_handlers(path: Path) -> list[str]:
    """Return handlers of everything that neither raise again nor say on their line why they catch everything."""
    lines = lines_of(path)
    handlers = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ExceptHandler)]
    broad = [one for one in handlers if one.type is None or ast.unparse(one.type) in {"Exception", "BaseException"}]
    silent = [one for one in broad if not isinstance(one.body[-1], ast.Raise) and "#" not in lines[one.lineno - 1]]
    return [f"{path}:{one.lineno}" for one in silent]


def test_functions_are_short() -> None:
    assert [one for path in FILES for one in long_functions(path)] == []


def test_files_are_short() -> None:
    assert [f"{path}: {size}" for path in SHIPPED if (size := len(lines_of(path))) > MAX_FILE_LINES] == []


def test_modules_are_nouns() -> None:
    assert [str(path) for path in FILES if path.stem in VAGUE] == []


def test_only_the_command_line_prints() -> None:
    quiet = [path for path in SHIPPED if not str(path).startswith("broker/cli")]
    assert [one for path in quiet for one in calls_of(path, "print")] == []


def test_only_settings_read_the_environment() -> None:
    others = [path for path in SHIPPED if not str(path).startswith(MAY_READ_ENVIRONMENT)]
    assert [one for path in others for one in environment_reads(path)] == []


def test_exceptions_are_caught_by_name_or_with_a_reason() -> None:
    assert [one for path in SHIPPED for one in silent_broad_handlers(path)] == []


def test_the_two_links_point_home() -> None:
    for name in ("jobs", "providers"):
        link = ROOT / "broker" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
