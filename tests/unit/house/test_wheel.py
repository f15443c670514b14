"""The wheel holds what the tree holds, whether it is built from the tree or from the sdist."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[3]
HOMES = {"broker": "broker", "broker/jobs": "jobs", "broker/providers": "providers"}
LEFT_OUT = ignore_patterns("__pycache__", "*.pyc")


def tree_files() -> set[str]:
    """Return the files of the import package, under the names that they have in a wheel."""
    found = {
        f"{home}/{path.relative_to(ROOT / folder)}"
        for home, folder in HOMES.items()
        for path in (ROOT / folder).rglob("*")  # does not follow links
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {name for name in found if not name.endswith(".pyc")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build sdist and wheel in a copy of the tree without the two links, as a checkout on Windows would be."""
    copy_of = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        copy(ROOT / name, copy_of)
    copytree(ROOT / "broker", copy_of / "broker", ignore=ignore_patterns("__pycache__", "*.pyc", "jobs", "providers"))
    for folder in ("jobs", "providers"):
        copytree(ROOT / folder, copy_of / folder, ignore=LEFT_OUT)
    # Without --wheel, the wheel is made from the sdist.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy_of / "dist"), str(copy_of)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (wheel,) = (copy_of / "dist").glob("*.whl")
    (sdist,) = (copy_of / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_wheel_holds_every_file_of_the_tree_and_no_other(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert names == tree_files()


def test_the_wheel_has_one_top_level_package(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"broker"}


def test_the_sdist_holds_what_a_build_needs(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.split("/", 1)[-1] for name in sdist.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", "providers/contract.py", "jobs/spec.py"} <= names


def test_the_wheel_offers_the_command_and_the_built_in_providers(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        points = ConfigParser()
        points.read_string(wheel.read(name).decode())
    assert points["console_scripts"]["broker"] == "broker.cli:main"
    from broker.providers.registry import BUILT_IN

    assert dict(points["broker.providers"]) == dict(BUILT_IN)
