"""The verbs about data before it trains: mix it, measure it, look at it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from broker.api.opened import Opened
from broker.errors import UserError

if TYPE_CHECKING:
    from broker.jobs.datasets import Mix


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
        token = self.settings.hf_token
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
            token=token.get_secret_value() if token else None,
        )
        return await to_thread.run_sync(work)


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
