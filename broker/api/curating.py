"""The verbs about data before it trains: mix it, ask how familiar a model is with it, look at it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import from_thread, to_thread

from broker.api.models import find_model
from broker.api.offline import SANDBOX, SANDBOX_ENCODER
from broker.api.opened import Opened
from broker.errors import SpecError, UnknownNameError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.spec import ModelRef
from broker.providers.registry import scorer
from broker.sandbox import model_dir
from broker.synthesis.outputs import read_output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.evaluation.familiarity import Familiarity, Response
    from broker.jobs.datasets import Mix
    from broker.jobs.rows import Dataset
    from broker.synthesis.report import Alike, DataReport

    Scorer = Callable[..., Awaitable[tuple[list[tuple[float, float]], int]]]

# Prompts sent to the encoder at once; their vectors come back as JSON.
_EMBEDDED_AT_ONCE = 512


class Curating(Opened):
    """Data sets as files."""

    async def mix(
        self,
        real: str | Path,
        synthetic: str | Path,
        *,
        ratio: str,
        output: str | Path,
        rows: int | None = None,
        seed: int = 0,
        stratify: str | None = None,
        overwrite: bool = False,
    ) -> Mix:
        """Mix real with synthetic rows into one file; each row says where it came from.

        Args:
            real: Rows that people wrote: a file, or `hf:NAME[:split]`.
            synthetic: Rows that a model wrote.
            ratio: `A:B`: so many rows of each, or, with `rows`, such shares of them.
            output: The JSONL file to write.
            rows: Rows of the mix, when the ratio is one of shares.
            seed: Of the draw and the order.
            stratify: A key beside the messages (`lineage.source.title`), `length`, or `none`; chosen when None.
            overwrite: Replace a file that is there.

        Raises:
            DataError: Too few rows, bad rows, or a key that no row has.
            UserError: The ratio is none, or the output exists.
        """
        work = partial(
            mix_files,
            str(real),
            str(synthetic),
            ratio=ratio,
            output=Path(output),
            rows=rows,
            seed=seed,
            stratify=stratify,
            overwrite=overwrite,
            token=self._hub_token,
        )
        return await to_thread.run_sync(work)

    async def familiarity(
        self,
        sources: Sequence[str | Path],
        model: str | ModelRef,
        *,
        precision: str | None = None,
        adapter: str | Path | None = None,
        batch_size: int | None = None,
        max_length: int | None = None,
    ) -> Familiarity:
        """Measure how familiar the model to be tuned is with responses: their perplexity under it (arXiv 2402.11192).

        Args:
            sources: Files, or `hf:NAME[:split]`, of chat rows, or of preference rows (each side is its own source).
            model: A local model: `sandbox`, a folder, a hub id, an alias, or the job that made it.
            precision: Of the weights (`bf16`, `fp32`, `int8`, `nf4`); the model's own, else bf16.
            adapter: Folder of an adapter to put on it.
            batch_size: Responses at once; 8 when None. It changes speed, and the last digits.
            max_length: Longest row, tokens, 2,048 when None; the rest is cut off and counted.

        Raises:
            DataError: Bad rows.
            SpecError: Something stands against the model.
            UserError: Its weights are not on this machine.
        """
        found = model if isinstance(model, ModelRef) else await self._local_model(model)
        score = self._scorer(found)
        found = await self._weighed(found, precision, adapter)
        if found.name == SANDBOX:
            await self.offline.build(encoder=False)
        responses = await to_thread.run_sync(self._responses, [str(source) for source in sources])
        return await self._scored(found, score, responses, batch_size, max_length)

    async def data_report(
        self,
        sources: Sequence[str | Path],
        *,
        encoder: str | None = None,
        samples: int = 6,
        seed: int = 0,
    ) -> list[DataReport]:
        """Look at data files, or at the folders that syntheses wrote: counts, lengths, reading ease, variety, lineage.

        Args:
            sources: Files, `hf:NAME[:split]`, or folders with `rows.jsonl`.
            encoder: Sentence encoder (`sandbox-encoder`, a folder, a hub id) that looks for near-duplicates too.
            samples: How many rows to draw from each.
            seed: Of the draw.

        Returns:
            One report for each source; `broker.synthesis.page.to_page` makes a page of them.

        Raises:
            DataError: Bad rows.
            UserError: A folder holds no rows.
        """
        from broker.synthesis.inspection import build_report

        found: list[DataReport] = []
        for source in map(str, sources):
            read = await to_thread.run_sync(partial(read_output, source, token=self._hub_token))
            alike = [await self._alike(read.dataset, encoder)] if encoder and read.dataset.rows else []
            look = partial(
                build_report,
                read.name,
                read.dataset,
                rejected=read.rejected,
                manifest=read.manifest,
                alike=alike,
                samples=samples,
                seed=seed,
                remarks=read.remarks,
                tell=partial(self._compared, source),
            )
            self._report(f"looking at {source}", len(found), len(sources))
            found.append(await to_thread.run_sync(look))
        self._report(f"looking at {sources[-1]}", len(sources), len(sources))
        return found

    def _compared(self, source: str, done: int, total: int) -> None:
        """Show how far the comparison of prompts is, from the thread that compares; it ends there when told to stop."""
        from_thread.check_cancelled()
        from_thread.run_sync(self._report, f"comparing the prompts of {source}", done, total)

    async def _alike(self, dataset: Dataset, encoder: str) -> Alike:
        """Find prompts that mean nearly the same, by an encoder."""
        from broker.jobs.datasets.overlaps import prompt_text
        from broker.synthesis.dedupe import THRESHOLD, Dedupe
        from broker.synthesis.inspection import alike_of

        folder = str(await self.offline.build(encoder=True)) if encoder == SANDBOX_ENCODER else encoder
        texts = {row.line: prompt_text(row) for row in dataset.rows}
        dedupe = Dedupe()
        found: list[tuple[int, int, float]] = []
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            lines = list(texts)[start : start + _EMBEDDED_AT_ONCE]
            reply = await self.workers.call("embed", {"model": folder, "texts": [texts[line] for line in lines]})
            verdicts = await to_thread.run_sync(dedupe.admit, reply["vectors"], [str(line) for line in lines])
            found += [
                (int(one.id), int(one.nearest), round(one.cosine, 4))
                for one in verdicts
                if not one.accepted and one.nearest is not None and one.cosine is not None
            ]
            self._report("embedding the prompts", start + len(lines), len(texts))
        return alike_of(f"cosine of {encoder} above {THRESHOLD:g}, with an earlier prompt that was kept", found, texts)

    async def _weighed(self, model: ModelRef, precision: str | None, adapter: str | Path | None) -> ModelRef:
        """Return the model in its precision and with its adapter, once nothing stands against it."""
        adapted = str(adapter) if adapter else model.adapter
        found = replace(model, precision=precision or model.precision, adapter=adapted)
        provider = self.accounts.get(found.provider)
        problems = [one for one in await blocking(provider.check_model, found) if one.severity == "error"]
        if problems:
            raise SpecError(problems)
        return found

    async def _local_model(self, name: str) -> ModelRef:
        """Find a model as everywhere; what nobody knows is a local model's name, folder or hub id."""
        try:
            return await blocking(find_model, name, self._store, self.settings, self.accounts)
        except UnknownNameError:
            return ModelRef(provider="local", name=self.accounts.get("local").pin(name))

    def _scorer(self, model: ModelRef) -> Scorer:
        found = scorer(self.settings.account(model.provider).kind)
        if found is None:
            what = f"{model.label} cannot say how well it expects a text: only models of this machine can"
            fix = "name a local model: --model sandbox, a folder, a hub id, or a local tuning job"
            raise UserError(what, where="--model", fix=fix)
        return found

    async def _scored(
        self, model: ModelRef, score: Scorer, responses: list[Response], batch_size: int | None, max_length: int | None
    ) -> Familiarity:
        from broker.evaluation.familiarity import ResponseScore, familiarity
        from broker.jobs.datasets.canonical import to_canonical, to_line

        def tell(event: dict[str, Any]) -> None:
            if event["kind"] == "progress":
                self._report(f"scoring under {model.label}", int(event["step"]), int(event["total_steps"]))

        lines = [to_line(to_canonical(response.row)) for response in responses]
        base = str(model_dir(self.settings.cache_dir)) if model.name == SANDBOX else None
        options = {"base": base, "batch_size": batch_size, "max_length": max_length, "on_event": tell}
        scores, truncated = await score(self.workers, model, lines, **options)
        conditions = {"precision": model.precision or "bf16", "scored": "assistant's turns, the model's chat template"}
        work = partial(familiarity, model=model.label, conditions=conditions, truncated=truncated)
        told = [ResponseScore(nats=nats, tokens=tokens) for nats, tokens in scores]
        return await to_thread.run_sync(work, responses, told)

    def _responses(self, sources: Sequence[str]) -> list[Response]:
        from broker.evaluation.familiarity import responses_of
        from broker.jobs.datasets import read_source

        read = ((source, read_source(source, token=self._hub_token)) for source in sources)
        return [response for source, dataset in read for response in responses_of(dataset, source)]

    @property
    def _hub_token(self) -> str | None:
        token = self.settings.hf_token
        return token.get_secret_value() if token else None


def mix_files(
    real: str,
    synthetic: str,
    *,
    ratio: str,
    output: Path,
    rows: int | None = None,
    seed: int = 0,
    stratify: str | None = None,
    overwrite: bool = False,
    token: str | None = None,
) -> Mix:
    """Mix two files into a third; arguments as for `Curating.mix`, and `token` for gated data sets of the hub."""
    from broker.jobs.datasets import mix, mixed_lines, read_ratio, read_source, write_lines

    counts = read_ratio(ratio, rows)
    _check_output(output, overwrite=overwrite)
    first, second = (read_source(source, token=token) for source in (real, synthetic))
    mixed = mix(first, second, counts, seed=seed, stratify=stratify, name=output.name)
    write_lines(output, mixed_lines(mixed.dataset))
    return mixed


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists", where="--output", fix="name another file, or --force to replace this one")
