"""Where the sandbox's models lie, and how one appears there: whole or not at all. Free of torch."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import StoreError
from broker.sandbox.recipe import EncoderRecipe, ModelRecipe, version

if TYPE_CHECKING:
    from collections.abc import Generator

MANIFEST = "sandbox.json"


def model_dir(cache_dir: Path) -> Path:
    """Return the folder of the chat model `sandbox`, built or not; its name changes with the recipe."""
    return cache_dir / "models" / f"sandbox-{version(ModelRecipe())}"


def encoder_dir(cache_dir: Path) -> Path:
    """Return the folder of the sentence encoder `sandbox-encoder`, built or not; its name changes with the recipe."""
    return cache_dir / "models" / f"sandbox-encoder-{version(EncoderRecipe())}"


def is_built(path: Path) -> bool:
    """Tell whether a folder holds a finished model of today's recipe."""
    try:
        manifest: Any = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return manifest["version"] in (version(ModelRecipe()), version(EncoderRecipe()))
    except (OSError, ValueError, TypeError, KeyError):
        return False


@contextmanager
def publishing(folder: Path, recipe: ModelRecipe | EncoderRecipe) -> Generator[Path]:
    """Give a temporary folder to fill; when the block ends well it becomes `folder`, otherwise it goes away.

    Args:
        folder: The final place; an older folder there is replaced.
        recipe: Noted in the manifest.

    Raises:
        StoreError: The disk is full or the folder cannot be written; nothing is left behind.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield draft
        manifest = {"version": version(recipe), "kind": type(recipe).__name__, "recipe": asdict(recipe)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _move(draft, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, folder: Path) -> None:
    draft.chmod(0o755)
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    draft.rename(folder)


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the sandbox model could not be written: {error.strerror or error}",
        where=str(folder),
        fix="free some space (about 20 MB are needed) or set BROKER_CACHE_DIR to another disk",
    )
