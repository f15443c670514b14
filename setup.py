"""Names every package of the wheel by walking the folders, so that a new one cannot be forgotten.

`[tool.setuptools.packages.find]` does not look into a folder that `package-dir` maps elsewhere, and an sdist does not
carry the two links in `broker/`; a written list would drop a new subpackage without a word. Everything else stands in
pyproject.toml.
"""

from __future__ import annotations

from setuptools import find_packages, setup

HOMES = {"broker": "broker", "broker.jobs": "jobs", "broker.providers": "providers"}
FOUND = {f"{name}.{below}" for name, folder in HOMES.items() for below in find_packages(folder)}

setup(packages=sorted({*HOMES, *FOUND}))
