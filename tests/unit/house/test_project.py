"""What pyproject.toml, constraints.txt and the documents say of each other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.providers.registry import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

# Packages that another one brings as a part of itself and pins to itself.
PART_OF = {"pydantic_core": "pydantic", "httpx2": "openai"}
ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", line)[0].lower().replace("_", "-") for line in requirements}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): value for name, value in pairs}


def imports() -> Iterator[tuple[Path, str]]:
    """Yield every package that a shipped file imports from elsewhere, wherever in the file it does."""
    for folder in ("broker", "jobs", "providers"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                tops = {name.partition(".")[0] for name in names}
                yield from ((path.relative_to(ROOT), top) for top in tops - sys.stdlib_module_names - {"broker"})


def test_every_direct_dependency_has_a_tested_version() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = distributions(PROJECT["project"]["dependencies"])
    wanted |= {name for lines in extras.values() for name in distributions(lines)}
    assert wanted - {"finetune-broker"} - pinned().keys() == set()


def test_what_is_imported_is_declared() -> None:
    homes = packages_distributions()
    lines = [*PROJECT["project"]["dependencies"], *chain(*PROJECT["project"]["optional-dependencies"].values())]
    declared = distributions(lines)
    strange = {
        f"{path}: {top}"
        for path, top in imports()
        if not declared & {PART_OF.get(name, name).lower().replace("_", "-") for name in homes.get(top, [top])}
    }
    assert strange == set()


def test_torch_is_pinned_without_the_name_of_a_build() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"TORCH := torch=={pinned()['torch']}\n" in makefile
    assert "+" not in pinned()["torch"]


def test_all_extras_together_are_what_all_brings() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (line,) = extras["all"]
    assert set(re.findall(r"\w+", line.split("[")[1])) == set(extras) - {"all", "dev"}


def test_the_import_contract_guards_every_built_in_provider() -> None:
    contracts = {one["id"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}
    assert set(contracts["providers"]["protected_modules"]) == {
        target.partition(":")[0] for target in BUILT_IN.values()
    }


def test_the_change_log_knows_this_version() -> None:
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", [".ci/run", ".ci/with-postgres"])
def test_scripts_stop_at_the_first_failure(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
