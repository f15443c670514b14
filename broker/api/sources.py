"""The rows of one request: read once, parted by their own marks or by share, stored, compared."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from broker.errors import Problem, UserError
from broker.jobs.blocking import blocking

if TYPE_CHECKING:
    from broker.api.request import ExperimentRequest, MixRequest
    from broker.jobs.artifacts import Artifacts
    from broker.jobs.datasets import Mix
    from broker.jobs.rows import Dataset
    from broker.jobs.spec import DatasetRef

# Begins the name of training rows that a request mixes itself.
MIX = "mix:"


class Sources:
    """Reads what a request names; knows which of it trains and which of it judges."""

    def __init__(self, request: ExperimentRequest, artifacts: Artifacts, token: str | None) -> None:
        """Read nothing yet.

        Args:
            request: What is wanted.
            artifacts: Receives the data sets (content-addressed, so nothing is lost if the plan is dropped).
            token: For gated data sets of the hub.
        """
        self.warnings: list[Problem] = []
        self._request = request
        self._artifacts = artifacts
        self._token = token
        self._read: dict[tuple[str, bool], Dataset] = {}
        self._parts: dict[str, tuple[Dataset, Dataset] | None] = {}
        self._training: dict[str, tuple[Dataset, DatasetRef]] = {}
        self._shared: dict[str, Dataset] = {}
        self._judge: Dataset | None = None
        self._mixing: set[str] = set()

    async def validation(self) -> DatasetRef | None:
        """Return the frozen set: the file named for it, a share of the training rows, or those marked for it.

        Raises:
            DataError: Bad rows, with file and line.
            UserError: A verdict is expected, and nothing can be judged on.
        """
        request = self._request
        if request.evaluate is False:
            return None
        if request.validation is not None:
            self._judge = await self._named(request.validation)
        elif request.split is not None and request.tunings:
            self._judge = await self._hold_out(request.tunings[0].train, request.split)
        else:
            self._judge = await self._marked_somewhere()
        if self._judge is not None:
            return await self._store(self._judge)
        if request.evaluate:
            what = "missing: --validation (or --split 0.1, or --no-evaluate)"
            fix = 'name the rows to judge on, or mark them in the training file: "split": "validation" on each such row'
            raise UserError(what, fix=fix)
        return None

    async def training(self, source: str) -> tuple[Dataset, DatasetRef]:
        """Return the rows of a source that train, without those marked for validation.

        Args:
            source: A file, `hf:NAME[:split]`, or `mix:NAME`.

        Raises:
            DataError: Bad rows, with file and line.
        """
        if source not in self._training:
            parts = await self._marked(source)
            if parts is not None:
                self._tell_marked(source, parts)
            train = self._shared.get(source) or (parts[0] if parts else await self._rows(source))
            self._training[source] = train, await self._store(train)
        return self._training[source]

    @property
    def judge(self) -> Dataset | None:
        """Return the rows of the frozen set, once `validation` has read them."""
        return self._judge

    @property
    def trained(self) -> list[tuple[Dataset, DatasetRef]]:
        """Return the training rows read so far."""
        return list(self._training.values())

    async def _named(self, source: str) -> Dataset:
        """Return the validation rows of a file; one that trains too gives those that it marks."""
        trains = any(tuning.train == source for tuning in self._request.tunings)
        parts = await self._marked(source) if trains else None
        return parts[1] if parts else await self._rows(source, answers=trains)

    async def _hold_out(self, source: str, fraction: float) -> Dataset:
        """Split one training source; the same seed gives the same rows again."""
        from broker.jobs.datasets import split

        parts = await self._marked(source)
        dataset = parts[0] if parts else await self._rows(source)
        self._shared[source], held_out = split(dataset, fraction=fraction, seed=self._request.tunings[0].seed)
        return held_out

    async def _marked_somewhere(self) -> Dataset | None:
        for source in dict.fromkeys(tuning.train for tuning in self._request.tunings):
            if (parts := await self._marked(source)) is not None:
                return parts[1]
        return None

    async def _marked(self, source: str) -> tuple[Dataset, Dataset] | None:
        from broker.jobs.datasets import marked_split

        if source not in self._parts:
            self._parts[source] = marked_split(await self._rows(source))
        return self._parts[source]

    async def _rows(self, source: str, *, answers: bool = True) -> Dataset:
        """Read a source once; rows that only judge need no answers."""
        if (source, answers) not in self._read:
            self._read[source, answers] = await self._resolved(source, answers=answers)
        return self._read[source, answers]

    async def _resolved(self, source: str, *, answers: bool) -> Dataset:
        """Return the rows that a source's name stands for; every kind of name is known here and nowhere else."""
        from broker.jobs.datasets import read_source

        if source.startswith(MIX):
            return await self._mixed(source.removeprefix(MIX))
        return await to_thread.run_sync(partial(read_source, source, token=self._token, answers=answers))

    async def _mixed(self, name: str) -> Dataset:
        """Mix the training rows of two sources; rows that these mark for validation stay out."""
        from broker.jobs.datasets import mix, read_ratio

        if name in self._mixing:
            raise UserError(f"the mix {name!r} is made of itself", where=f"{MIX}{name}", fix="name files in it")
        wanted = self._mix(name)
        self._mixing.add(name)
        (real, _), (synthetic, _) = [await self.training(source) for source in (wanted.real, wanted.synthetic)]
        counts = read_ratio(wanted.ratio, wanted.rows)
        options: dict[str, Any] = {"seed": wanted.seed, "stratify": wanted.stratify, "name": f"{MIX}{name}"}
        mixed = await to_thread.run_sync(partial(mix, real, synthetic, counts, **options))
        self._tell_alike(name, mixed)
        return mixed.dataset

    def _mix(self, name: str) -> MixRequest:
        found = {mix.name: mix for mix in self._request.mixes}
        if name not in found:
            fix = f"known: {', '.join(found)}" if found else "define it as [[mixes]] in a recipe"
            raise UserError(f"no mix is called {name!r}", where=f"--train {MIX}{name}", fix=fix)
        return found[name]

    async def _store(self, dataset: Dataset) -> DatasetRef:
        from broker.jobs.datasets import store_dataset

        return await blocking(store_dataset, dataset, self._artifacts)

    def _tell_alike(self, name: str, mixed: Mix) -> None:
        if not mixed.overlaps:
            return
        first = mixed.overlaps[0]
        what = f"{len(mixed.overlaps)} synthetic prompt(s) are, or nearly are, real ones: {first}"
        fix = "drop them from the synthetic file, or leave them: they train twice"
        self.warnings.append(Problem(where=f"{MIX}{name}", what=what, fix=fix, severity="warning"))

    def _tell_marked(self, source: str, parts: tuple[Dataset, Dataset]) -> None:
        train, marked = parts
        use = "judge the models" if self._judge is marked else "are left out"
        what = f"{len(marked.rows)} of its {len(train.rows) + len(marked.rows)} rows are marked as validation"
        text = f"{what}: they {use} and never train"
        self.warnings.append(Problem(where=f"--train {source}", what=text, severity="warning"))
