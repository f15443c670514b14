"""Importing the broker and asking for help load nothing heavy and take no time."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

HEAVY = {
    "torch", "transformers", "peft", "bitsandbytes", "accelerate", "sentence_transformers", "datasets", "openai",
    "google.genai", "textstat", "nltk", "scipy", "statsmodels", "numpy", "pandas", "pyarrow", "matplotlib", "starlette",
    "uvicorn", "alembic",
}  # fmt: skip
LIGHT_MODULES = [
    "broker", "broker.api", "broker.catalog", "broker.cli", "broker.errors", "broker.evaluation",
    "broker.gateway", "broker.jobs.artifacts", "broker.jobs.datasets", "broker.jobs.spec", "broker.jobs.store",
    "broker.providers.contract", "broker.providers.registry", "broker.results", "broker.sandbox", "broker.scheduler",
    "broker.settings", "broker.voting", "broker.worker",
]  # fmt: skip
IMPORT_EACH = """
import json, sys
from importlib import import_module
modules, heavy = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))
seen, brought = set(), {}
for name in modules:
    import_module(name)
    brought[name] = sorted(heavy & sys.modules.keys() - seen)
    seen |= sys.modules.keys()
print(json.dumps(brought))
"""
SAY_MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def loaded_by(code: str) -> set[str]:
    return set(json.loads(run(f"{code}\n{SAY_MODULES}").splitlines()[-1]))


def test_importing_loads_nothing_heavy() -> None:
    brought = json.loads(run(IMPORT_EACH, json.dumps(LIGHT_MODULES), json.dumps(sorted(HEAVY))))
    assert {name: heavy for name, heavy in brought.items() if heavy} == {}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom broker.cli import main\nsys.argv = ['broker', '--help']\ntry: main()\nexcept SystemExit: pass"
    )
    assert not HEAVY & loaded_by(code)


def test_settings_load_pydantic_settings_only_when_used() -> None:
    code = "from broker.settings import locate; locate()"
    assert not {"pydantic", "pydantic_settings"} & loaded_by(code)


def test_the_version_is_that_of_the_distribution() -> None:
    assert run("import broker; print(broker.__version__)").strip() == version("finetune-broker")
