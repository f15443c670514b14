"""What can be known of a PEFT adapter before torch loads it: that it is there, and that it fits its base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import Problem
from broker.providers.local.models import header_of, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_INSIDE = ".lora_A.weight"


def check_adapter(folder: Path, base: str) -> list[Problem]:
    """Return what stands against putting an adapter on a base.

    Args:
        folder: Of the adapter.
        base: Folder or hub id of the base; only a folder's own layers can be compared.
    """
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        what = "the adapter is a pickle, which is never loaded" if pickled else "there is no adapter in this folder"
        fix = f"save it as {WEIGHTS}" if pickled else f"tune it again, or name a folder with {CONFIG} and {WEIGHTS}"
        return [Problem(where=str(folder), what=what, fix=fix)]
    return _check_fit(folder, base) or _check_origin(folder, base)


def _check_fit(folder: Path, base: str) -> list[Problem]:
    """Compare the widths of the layers: an adapter of another model would fail only when it is loaded."""
    layers = _shapes(Path(base))
    if not layers:
        return []
    for name, about in header_of(folder / WEIGHTS).items():
        if not name.endswith(_INSIDE):
            continue
        layer = name.removeprefix(_PREFIX).removesuffix(_INSIDE)
        width, wanted = _width(about), _width(layers.get(f"{layer}.weight"))
        if width is not None and width != wanted:
            has = f"is {wanted} wide" if wanted is not None else "is missing"
            what = f"the adapter was made for another base: it wants {layer} {width} wide, which {has} in {base}"
            fix = f"--base {read_json(folder / CONFIG).get('base_model_name_or_path') or 'MODEL'}"
            return [Problem(where=str(folder), what=what, fix=fix)]
    return []


def _check_origin(folder: Path, base: str) -> list[Problem]:
    """Warn when an adapter fits but says that it was made on another base."""
    noted = str(read_json(folder / CONFIG).get("base_model_name_or_path") or "")
    if not noted or noted == base or not Path(base).is_dir() or not Path(noted).is_dir():
        return []
    if Path(noted).resolve() == Path(base).resolve():
        return []
    what = f"the adapter was made on {noted} and is asked on {base}"
    return [Problem(where=str(folder), what=what, fix=f"--base {noted}", severity="warning")]


def _shapes(folder: Path) -> Mapping[str, Any]:
    return {name: about for path in sorted(folder.glob("*.safetensors")) for name, about in header_of(path).items()}


def _width(about: Any) -> int | None:
    """Return how many inputs a matrix has."""
    shape: Any = about.get("shape") if isinstance(about, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return int(shape[-1]) if isinstance(shape, list) and shape else None  # pyright: ignore[reportUnknownArgumentType]
