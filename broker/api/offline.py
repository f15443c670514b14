"""Makes the sandbox models when something names them and they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.jobs.spec import ModelRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from broker.jobs.spec import Spec
    from broker.worker.pool import WorkerPool

SANDBOX = "sandbox"
SANDBOX_ENCODER = "sandbox-encoder"


class OfflineModels:
    """The sandbox chat model and its sentence encoder, in the user's cache folder."""

    def __init__(self, cache_dir: Path, workers: WorkerPool, report: Callable[[str, int, int], None]) -> None:
        """Keep where they go and who makes them.

        Args:
            cache_dir: The user's cache folder.
            workers: The torch processes.
            report: Receives (text, done, total).
        """
        self._cache_dir = cache_dir
        self._workers = workers
        self._report = report

    async def make_for(self, specs: Iterable[Spec]) -> None:
        """Make what these specs name.

        Args:
            specs: Specs of jobs that are about to be stored.
        """
        named: set[Any] = set()
        for spec in specs:
            model = getattr(spec, "model", None)
            named |= {model.name if isinstance(model, ModelRef) else model, getattr(spec, "encoder", None)}
            named.add(getattr(spec, "options", {}).get("encoder"))
        if SANDBOX in named:
            await self.build()
        if SANDBOX_ENCODER in named:
            await self.build(encoder=True)

    async def build(self, *, encoder: bool = False, rebuild: bool = False) -> Path:
        """Make one of them when it is missing.

        Args:
            encoder: The sentence encoder rather than the chat model.
            rebuild: Make it anew.

        Returns:
            Its folder.
        """
        from broker.sandbox.making import ensure_encoder, ensure_model

        text = "making the sandbox encoder" if encoder else "making the sandbox model"

        def on_event(event: Mapping[str, Any]) -> None:
            if "step" in event and "total_steps" in event:
                self._report(text, int(event["step"]), int(event["total_steps"]))

        ensure = ensure_encoder if encoder else ensure_model
        return await ensure(self._cache_dir, self._workers, on_event, rebuild=rebuild)
