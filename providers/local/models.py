"""Local models by name: where they are, and what can be known of them without torch and without the network."""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.catalog import Catalog
from broker.errors import Problem
from broker.worker.faults import gated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date


SANDBOX = "sandbox"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WHERE = "--model"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_LARGEST_HEADER = 100_000_000


def missing_packages() -> list[Problem]:
    """Return a problem when the packages that train are not installed. Imports none of them."""
    wanted = ("torch", "transformers", "peft", "accelerate", "safetensors")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    what = f"the local provider needs packages that are not installed: {', '.join(missing)}"
    return [Problem(where="--provider local", what=what, fix="pip install 'finetune-broker[local]'")]


def check_precision(precision: Any) -> list[Problem]:
    """Return a problem when this machine cannot load a base in a precision.

    Args:
        precision: `bf16`, `fp32`, `int8`, `nf4`.
    """
    if precision not in ("int8", "nf4") or importlib.util.find_spec("bitsandbytes") is not None:
        return []
    what = f"precision {precision!r} needs bitsandbytes, which is not installed"
    return [Problem(where="--precision", what=what, fix="pip install 'finetune-broker[local]', or --precision bf16")]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Finds models.

    Attributes:
        catalog: What is known about models.
        cache_dir: Where the sandbox lies.
        token: Whether a Hugging Face token is set.
    """

    catalog: Catalog
    cache_dir: Path
    token: bool

    def resolve(self, name: str) -> str:
        """Return what the torch process loads: a folder, or a hub id.

        Args:
            name: `sandbox`, a folder, or a hub id.
        """
        if name == SANDBOX:
            return str(self.sandbox)
        folder = Path(name).expanduser()
        return str(folder.resolve()) if folder.is_dir() else name

    @property
    def sandbox(self) -> Path:
        """Return the folder of the sandbox model, built or not."""
        from broker.sandbox.folder import model_dir

        return model_dir(self.cache_dir)

    def needs_building(self, name: str) -> bool:
        """Say whether a name means the sandbox and the sandbox is not built yet."""
        from broker.sandbox.folder import is_built

        return name == SANDBOX and not is_built(self.sandbox)

    def check(self, name: str, *, today: date, targets: Sequence[str] = ()) -> list[Problem]:
        """Return what stands against using a model.

        Args:
            name: `sandbox`, a folder, or a hub id.
            today: The day to judge alternatives by.
            targets: Layers that shall get adapters.
        """
        if name == SANDBOX:
            return self._check_sandbox(targets)
        folder = Path(name).expanduser()
        if folder.is_dir():
            return check_folder(folder, targets)
        if folder.exists():
            return [Problem(where=_WHERE, what=f"{name!r} is a file", fix="give the model's folder")]
        cached = _in_hub_cache(name)
        if cached is not None:
            return check_targets(cached, targets)
        return self._check_hub(name, today)

    def alternatives(self, name: str, today: date) -> str:
        """Return the sentence that names open models.

        Args:
            name: The model that cannot be used.
            today: The day to judge by.
        """
        names = self.catalog.alternatives("local", name, today)
        return f"an open model: --model {names[0]}" if names else "an open model"

    def _check_sandbox(self, targets: Sequence[str]) -> list[Problem]:
        if not self.needs_building(SANDBOX):
            return check_folder(self.sandbox, targets)
        fix = "it is built when the job starts (about a minute); or now: broker models build sandbox"
        return [Problem(where=_WHERE, what="the sandbox model is not built yet", fix=fix, severity="warning")]

    def _check_hub(self, name: str, today: date) -> list[Problem]:
        known = self.catalog.model("local", name)
        if known is None and not _HUB_ID.fullmatch(name):
            return [self._unknown(name)]
        if known is not None and known.gated and not self.token and not _logged_in():
            what, fix = gated(name)
            fix = fix.replace("an open model", self.alternatives(name, today).removeprefix("an open model: "))
            return [Problem(where=_WHERE, what=what, fix=fix)]
        return []

    def _unknown(self, name: str) -> Problem:
        names = [facts.name for facts in self.catalog.of("local")]
        near = difflib.get_close_matches(name, [*names, *(one.split("/")[-1] for one in names)], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        fix = f"{hint}give a folder, a hub id (ORGANISATION/MODEL) or one of: {', '.join(names)}"
        return Problem(where=_WHERE, what=f"there is no folder and no known model {name!r}", fix=fix)


def check_folder(folder: Path, targets: Sequence[str] = ()) -> list[Problem]:
    """Return what a model folder lacks.

    Args:
        folder: Exists.
        targets: Layers that shall get adapters.
    """
    where = str(folder)
    if not (folder / "config.json").exists():
        if (folder / "adapter_config.json").exists():
            fix = f"name its base: --model {_base_of_adapter(folder)}"
            return [Problem(where=where, what="this is an adapter, not a model", fix=fix)]
        return [Problem(where=where, what="the folder has no config.json: not a model", fix="give the model's folder")]
    problems = [*_check_weights(folder), *_check_tokenizer(folder)]
    return problems or check_targets(folder, targets)


def _check_weights(folder: Path) -> list[Problem]:
    if any(folder.glob("*.safetensors")):
        return []
    old = any(folder.glob("*.bin"))
    what = "the folder has its weights as a pickle only, which is never loaded" if old else "the folder has no weights"
    return [Problem(where=str(folder), what=what, fix="save the model as model.safetensors (safetensors only)")]


def _check_tokenizer(folder: Path) -> list[Problem]:
    if not any((folder / name).exists() for name in _TOKENIZERS):
        fix = "copy tokenizer.json and tokenizer_config.json of the model into it"
        return [Problem(where=str(folder), what="the model folder has no tokenizer", fix=fix)]
    if any((folder / name).exists() for name in ("chat_template.jinja", "chat_template.json")):
        return []
    if read_json(folder / "tokenizer_config.json").get("chat_template"):
        return []
    fix = "take the model's instruct version, or put a chat_template.jinja into the folder"
    return [Problem(where=str(folder), what="the model's tokenizer has no chat template", fix=fix)]


def check_targets(folder: Path, targets: Sequence[str]) -> list[Problem]:
    """Return a problem when a model has none of the layers that shall get adapters.

    Args:
        folder: With the model's safetensors; when there are none, nothing is said.
        targets: Names of layers, or `all-linear`.
    """
    layers = layers_of(folder)
    wanted = [target for target in targets if target != "all-linear"]
    missing = [target for target in wanted if not any(_is(layer, target) for layer in layers)]
    if not layers or not missing:
        return []
    present = sorted({layer.rsplit(".", 1)[-1] for layer in layers if layer.rsplit(".", 1)[-1].isidentifier()})
    what = f"the model has no layers called {', '.join(missing)}"
    return [Problem(where="--target-modules", what=what, fix=f"some of: {', '.join(present)}, or all-linear")]


def layers_of(folder: Path) -> set[str]:
    """Return the names of a model's layers, read from the headers of its safetensors.

    Args:
        folder: The model's.
    """
    index = read_json(folder / "model.safetensors.index.json").get("weight_map")
    names = set(index) if index else {name for path in folder.glob("*.safetensors") for name in header_of(path)}
    return {name.rsplit(".", 1)[0] for name in names if name.endswith(".weight")}


def _is(layer: str, target: str) -> bool:
    return layer == target or layer.endswith(f".{target}")


def header_of(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says about its tensors, by name: 8 bytes of length, then JSON.

    Args:
        path: The file; one that is none has no tensors.
    """
    with path.open("rb") as file:
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < size < _LARGEST_HEADER:
            return {}
        try:
            return dict(json.loads(file.read(size)))
        except ValueError:
            return {}


def read_json(path: Path) -> dict[str, Any]:
    """Return a file's JSON object; nothing when there is none."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data


def _base_of_adapter(folder: Path) -> str:
    return str(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "BASE")


def _in_hub_cache(name: str) -> Path | None:
    if importlib.util.find_spec("huggingface_hub") is None or not _HUB_ID.fullmatch(name):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _logged_in() -> bool:
    if importlib.util.find_spec("huggingface_hub") is None:
        return False
    from huggingface_hub import get_token

    return get_token() is not None
