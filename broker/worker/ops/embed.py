"""Turn texts into vectors with a sentence encoder.

Arguments (JSON): `model` (folder or hub id of a sentence-transformers model), `texts`, `batch_size` (32).
Result: `{"vectors": [[...], ...], "dimension": 384, "model": "…", "version": "sentence-transformers 6.2.0"}`; the
vectors are normalized to length 1, in the order of the texts, so that a cosine is a dot product.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.errors import MissingExtraError, WorkerError
from broker.worker.devices import pick

if TYPE_CHECKING:
    from broker.worker.session import Session

_BATCH = 32
_PROBE_S = 10.0
_STRIDE = 64  # batches between two looks at the stop flag


def embed(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Embed texts.

    Args:
        args: See the module.
        session: Receives progress, says when to stop.

    Returns:
        See the module.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """
    encoder, version = _encoder(str(args["model"]), str(pick(session.device_name)))
    texts: list[str] = args["texts"]
    size = int(args.get("batch_size") or _BATCH)
    # The encoder sorts by length within a call, so the pieces are large.
    stride = size * _STRIDE
    vectors: list[list[float]] = []
    for start in range(0, len(texts), stride):
        if session.stop_requested():
            return {"stopped": session.stop_requested()}
        made = encoder.encode(
            texts[start : start + stride], batch_size=size, normalize_embeddings=True, show_progress_bar=False
        )
        vectors += made.tolist()
        session.progress(len(vectors), len(texts))
    dimension = len(vectors[0]) if vectors else 0
    return {"vectors": vectors, "dimension": dimension, "model": args["model"], "version": version, "stopped": None}


@lru_cache(maxsize=2)
def _encoder(model: str, device: str) -> tuple[Any, str]:
    try:
        import sentence_transformers
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sentence_transformers":
            raise
        message = "similarity needs sentence-transformers, which is not installed"
        raise MissingExtraError(message, fix="pip install 'finetune-broker[similarity]'") from error
    torch.use_deterministic_algorithms(True, warn_only=True)
    encoder = sentence_transformers.SentenceTransformer(
        model,
        device=device,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
        local_files_only=_only_local(model),
    )
    return encoder, f"sentence-transformers {sentence_transformers.__version__}"


def _only_local(model: str) -> bool:
    """Ask the hub once whether it is there: the loader itself would ask for more than a minute before it gave up.

    Returns:
        Whether to load from the hub's cache alone.

    Raises:
        WorkerError: The hub cannot be reached, and the encoder is neither a folder nor in the cache.
    """
    if Path(model).is_dir():
        return True
    from httpx2 import TransportError
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(model, timeout=_PROBE_S)
    except HfHubHTTPError:
        raise  # the hub is there and says what is wrong
    except (TransportError, OSError) as error:
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            return True
        raise WorkerError(
            f"the encoder {model!r} is not on this machine and the hub cannot be reached",
            kind="offline",
            fix="connect once to download it, or give a folder or sandbox-encoder as --encoder",
        ) from error
    return False
