"""Runs the official SDK's own tests against the server: `python -m tests.acceptance.run_sdk_suite` (or through pytest).

They come from the SDK's source distribution, which is downloaded and not kept. All tests of the paths that the server
has must pass; those of other paths (graders, permissions, stored completions) are listed by name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUITES = (
    "fine_tuning",
    "chat",
    "uploads",
    "test_files.py",
    "test_models.py",
    "test_batches.py",
    "test_uploads.py",
)
# What the SDK has beside the paths that the server has: a `-k` expression of pytest.
OUTSIDE = (
    "test_graders or test_permissions or test_messages or (test_completions and (retrieve or update or list or delete))"
)
_PLUGINS = {"pytest_asyncio": "pytest-asyncio==1.4.0"}


class NotAvailableError(Exception):
    """The source distribution cannot be had here."""


@dataclass(frozen=True)
class Outcome:
    """What became of the SDK's tests."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    outside: tuple[str, ...]
    said: str

    @property
    def summary(self) -> str:
        inside = len(self.passed) + len(self.failed) + len(self.skipped)
        return f"{len(self.passed)} of {inside} tests of our paths pass; {len(self.outside)} tests are of other paths"


def fetch(folder: Path) -> Path:
    """Download and unpack the source distribution of the SDK that is installed.

    Args:
        folder: Where to.

    Raises:
        NotAvailableError: There is no way to the package index.
    """
    wanted = f"openai=={version('openai')}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "openai", "-d", str(folder)]
    _pip([*command, wanted])
    archive = next(folder.glob("openai-*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def plugins(folder: Path) -> list[str]:
    """Return folders to be searched for what the SDK's tests need and the project does not have."""
    missing = [wanted for name, wanted in _PLUGINS.items() if find_spec(name) is None]
    if not missing:
        return []
    _pip([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *missing])
    return [str(folder)]


def run(source: Path, base_url: str, search: list[str], report: Path) -> Outcome:
    """Run the tests.

    Args:
        source: The unpacked source distribution.
        base_url: The server, with the ids of the tests seeded.
        search: More folders to import from.
        report: Where pytest writes its report.
    """
    tests = [f"tests/api_resources/{suite}" for suite in SUITES]
    plain = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--tb=short"]
    command = [sys.executable, "-m", "pytest", *plain, *tests]
    home = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTEST_"))}
    env = {**home, "TEST_API_BASE_URL": base_url, "PYTHONPATH": os.pathsep.join(search)}
    said = _pytest([*command, "-k", f"not ({OUTSIDE})", f"--junitxml={report}"], source, env)
    listed = _pytest([*command, "-k", OUTSIDE, "--collect-only"], source, env)
    if not report.exists():
        raise RuntimeError(f"the SDK's tests did not run:\n{said[-3000:]}")
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[kind].append(f"{case.get('classname')}::{case.get('name')}")
    outside = tuple(line for line in listed.splitlines() if "::" in line)
    return Outcome(**{kind: tuple(names) for kind, names in found.items()}, outside=outside, said=said)


def _pytest(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout + done.stderr


def _pip(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise NotAvailableError(f"pip cannot fetch it: {str(getattr(error, 'stderr', '') or error)[-300:]}") from None
