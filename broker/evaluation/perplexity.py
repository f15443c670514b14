"""How much the expected answers surprise the evaluated model: their perplexity."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError, UserError, WorkerError
from broker.evaluation.metrics import Cost, Direction, Kind, MetricContext, Scored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Rows sent to the worker at once.
CHUNK = 256
# Noise of padding must not look like a difference.
DECIMALS = 6
# Counts up whenever the numbers change.
PERPLEXITY_VERSION = 1


class Perplexity:
    """Nats per token of the expected answers under the evaluated model, with its adapter and its chat template.

    A row's value is the mean surprise of the expected answer's tokens, its end mark included, after the prompt as it
    was sent: the logarithm of the row's perplexity. Logarithms are what is averaged and tested, since a mean of
    perplexities would be that of its few worst rows; e to the power of the column is a (geometric) mean perplexity.
    `details` has the perplexity of all tokens together, as papers state it.

    Tokens are the model's own, so `version` names its vocabulary: models of different vocabularies are not compared.
    A model on this machine only: others do not tell how likely a given text is.

    Source: as the measure of familiarity, arXiv 2402.11192, where it is taken of training texts before the tuning.
    """

    name = "perplexity"
    label = "log-perplexity"
    unit = "nats/token"
    direction = Direction.LOWER
    kind = Kind.MEAN
    cost = Cost.LOCAL
    needs: tuple[str, ...] = ("expected", "weights")

    def __init__(self, context: MetricContext, _argument: str = "") -> None:
        """Take the worker processes and the model.

        Args:
            context: Workers and the evaluated model.
            _argument: Not used.
        """
        self.version = f"perplexity {PERPLEXITY_VERSION}"
        self.remarks: tuple[str, ...] = ()
        self.details: Mapping[str, float] = {}
        self._context = context

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Measure every expected answer; a row without one has no value.

        Raises:
            UserError: The model's weights are not on this machine.
            WorkerError: The worker failed.
            MissingExtraError: There is no worker process.
        """
        model = await self._model()
        values: list[float | None] = [None] * len(rows)
        places = [i for i, row in enumerate(rows) if row.expected.strip()]
        cut, nats, tokens = 0, 0.0, 0.0
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            for place, score in zip(chunk, await self._measure(model, [rows[i] for i in chunk]), strict=True):
                cut += bool(score["cut"])
                if score["tokens"]:
                    values[place] = round(score["nats"] / score["tokens"], DECIMALS)
                    nats, tokens = nats + score["nats"], tokens + score["tokens"]
        self.details = {"perplexity over all tokens": exp(nats / tokens), "tokens": tokens} if tokens else {}
        told = f"{cut} expected answers are longer than the model reads: their perplexity is that of the beginning"
        self.remarks = (told,) if cut else ()
        return values

    async def _model(self) -> dict[str, Any]:
        context = self._context
        if context.loaded is None:
            name = f"{context.model.label} does" if context.model else "such models do"
            raise UserError(f"perplexity needs the model's weights on this machine; {name} not tell it")
        if context.workers is None:
            what = "perplexity needs a worker process with torch"
            raise MissingExtraError(what, fix="pip install 'finetune-broker[local]'")
        return await context.loaded()

    async def _measure(self, model: Mapping[str, Any], rows: Sequence[Scored]) -> list[dict[str, Any]]:
        assert self._context.workers is not None
        asked = {**model, "rows": [{"messages": _chat(row)} for row in rows], "each": True}
        reply = await self._context.workers.call("perplexity", asked)
        scores: list[dict[str, Any]] = reply.get("scores", [])
        if len(scores) != len(rows):
            raise WorkerError(f"the worker measured {len(scores)} of {len(rows)} rows", kind="perplexity")
        self.version = f"perplexity {PERPLEXITY_VERSION}, vocabulary {reply.get('tokenizer')}"
        return scores


def _chat(row: Scored) -> list[dict[str, Any]]:
    """Return the conversation whose last turn alone counts."""
    before = [{**message, "weight": 0} if message["role"] == "assistant" else dict(message) for message in row.prompt]
    return [*before, {"role": "assistant", "content": row.expected}]
