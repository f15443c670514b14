"""How familiar a model is with the responses it shall learn: their perplexity under it, by source, compared, picked.

A response's perplexity is exp(nats / tokens), over the tokens of the assistant's turns only (those that would be
trained), in the model's own chat template. A source's is the same over all its tokens together, with a bootstrap
interval over rows. Sources are compared by nats per token, which is the perplexity's logarithm: in pairs on the prompts
that both have, or by Welch's test where they share too few.

Source: arXiv 2402.11192: responses of low perplexity under the model to be tuned train it better. Pure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp
from statistics import median
from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Kind
from broker.evaluation.ratios import ratio_interval, unpaired
from broker.evaluation.statistics import Interval, compare, holm, mean_interval
from broker.jobs.datasets.canonical import content_hash
from broker.jobs.datasets.overlaps import prompt_key
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow, Row
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PROVENANCE = "provenance"
# Fewer prompts in common than this, and two sources are compared as unlike rows.
FEWEST_PAIRS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response to one prompt: a chat row, or one side of a preference row.

    Attributes:
        source: What a person calls where it stands.
        row: As a chat row; `line` is its line there.
        key: The text by which two prompts are the same.
        sha256: Content hash of the source's rows.
    """

    source: str
    row: ChatRow
    key: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseScore:
    """How well a model expects a response.

    Attributes:
        nats: Sum of its tokens' negative log-likelihoods.
        tokens: How many tokens (weighted, where a row weights its turns); 0 when none was left to score.
    """

    nats: float
    tokens: float

    @property
    def perplexity(self) -> float | None:
        """Return exp(nats / tokens); None without a token."""
        return exp(self.nats / self.tokens) if self.tokens else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFamiliarity:
    """One source under the model.

    Attributes:
        source: Its name.
        rows: Responses.
        scored: Those with a token to score.
        tokens: Tokens scored.
        perplexity: Of all tokens together, with a 95 % interval.
        mean: Of the rows' perplexities, with a 95 % interval.
        median: Of the rows' perplexities; None without rows.
    """

    source: str
    rows: int
    scored: int
    tokens: float
    perplexity: Interval
    mean: Interval
    median: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePair:
    """Two sources compared.

    Attributes:
        left: The one.
        right: The other.
        paired: On the prompts that both have.
        n: Prompts in common; of unlike rows, those of the smaller source.
        ratio: The left perplexity over the right one (geometric means over rows); below 1 the left is more familiar.
        low: Lower end of its 95 % interval; None when it cannot be had.
        high: Upper end.
        p: Holm-adjusted over the comparisons made.
        method: The test.
    """

    left: str
    right: str
    paired: bool
    n: int
    ratio: float | None
    low: float | None
    high: float | None
    p: float
    method: str

    @property
    def differs(self) -> bool:
        """Say whether chance alone is no likely explanation (p below 0.05)."""
        return self.p < 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiarity:
    """What was found.

    Attributes:
        model: The model's label.
        conditions: What the numbers hold for (precision, longest row, …).
        sources: In the order given.
        pairs: Every two sources.
        responses: Every response.
        scores: One for each response, in the same order.
        truncated: Responses that were cut off at the longest row.
    """

    model: str
    conditions: Mapping[str, str]
    sources: tuple[SourceFamiliarity, ...]
    pairs: tuple[SourcePair, ...]
    responses: tuple[Response, ...] = field(repr=False)
    scores: tuple[ResponseScore, ...] = field(repr=False)
    truncated: int = 0


def responses_of(dataset: Dataset, source: str) -> list[Response]:
    """Return the responses of a data set: one a chat row, two a preference row (sources of their own).

    Args:
        dataset: Checked rows.
        source: What a person calls it.
    """
    sha256 = content_hash(dataset)
    return [
        Response(source=name, row=row, key=key, sha256=sha256)
        for original in dataset.rows
        for name, row, key in _sides(original, source)
    ]


def _sides(row: Row, source: str) -> Iterator[tuple[str, ChatRow, str]]:
    key = prompt_key(row)
    if isinstance(row, ChatRow):
        yield source, row, key
        return
    for name, answer in (("preferred", row.preferred), ("non-preferred", row.non_preferred)):
        yield f"{source} ({name})", _chat(row, answer), key


def _chat(row: PreferenceRow, answer: Sequence[Mapping[str, Any]]) -> ChatRow:
    """Return one side of a preference row; what the assistant said before it is prompt, not response."""
    prompt = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in row.messages]
    return ChatRow(
        messages=(*prompt, *answer),
        tools=row.tools,
        parallel_tool_calls=row.parallel_tool_calls,
        extra=row.extra,
        line=row.line,
    )


def familiarity(
    responses: Sequence[Response],
    scores: Sequence[ResponseScore],
    *,
    model: str,
    conditions: Mapping[str, str] | None = None,
    truncated: int = 0,
) -> Familiarity:
    """Put scores together.

    Args:
        responses: What was scored.
        scores: One for each, in the same order.
        model: The model's label.
        conditions: What the numbers hold for.
        truncated: Responses that were cut off.
    """
    by_source: dict[str, list[tuple[Response, ResponseScore]]] = {}
    for response, score in zip(responses, scores, strict=True):
        by_source.setdefault(response.source, []).append((response, score))
    pairs = [_pair(left, right, by_source) for left, right in itertools.combinations(by_source, 2)]
    adjusted = holm([pair.p for pair in pairs])
    return Familiarity(
        model=model,
        conditions=conditions or {},
        sources=tuple(_summary(source, [score for _, score in told]) for source, told in by_source.items()),
        pairs=tuple(replace(pair, p=p) for pair, p in zip(pairs, adjusted, strict=True)),
        responses=tuple(responses),
        scores=tuple(scores),
        truncated=truncated,
    )


def _summary(source: str, scores: Sequence[ResponseScore]) -> SourceFamiliarity:
    scored = [score for score in scores if score.tokens]
    found = ratio_interval([score.nats for score in scored], [score.tokens for score in scored])
    each = [value for score in scored if (value := score.perplexity) is not None]
    return SourceFamiliarity(
        source=source,
        rows=len(scores),
        scored=len(scored),
        tokens=sum(score.tokens for score in scored),
        perplexity=Interval(value=_exp(found.value), low=_exp(found.low), high=_exp(found.high), method=found.method),
        mean=mean_interval(each),
        median=median(each) if each else None,
    )


def _exp(value: float | None) -> float | None:
    return None if value is None else exp(value)


def _pair(left: str, right: str, by_source: Mapping[str, Sequence[tuple[Response, ResponseScore]]]) -> SourcePair:
    sides = [_by_prompt(by_source[source]) for source in (left, right)]
    common = [key for key in sides[0] if key in sides[1]]
    paired = len(common) >= FEWEST_PAIRS
    if paired:
        test = compare(Kind.MEAN, *([side[key] for key in common] for side in sides))
    else:
        one, other = (_nats_a_token(score for _, score in by_source[source]) for source in (left, right))
        test = unpaired(one, other)
    return SourcePair(
        left=left,
        right=right,
        paired=paired,
        n=test.n,
        ratio=_exp(test.difference),
        low=_exp(test.low),
        high=_exp(test.high),
        p=test.p,
        method=test.method,
    )


def _nats_a_token(scores: Iterable[ResponseScore]) -> list[float]:
    return [score.nats / score.tokens for score in scores if score.tokens]


def _by_prompt(told: Sequence[tuple[Response, ResponseScore]]) -> dict[str, float]:
    """Return the mean nats per token of each prompt's responses."""
    found: dict[str, list[ResponseScore]] = {}
    for response, score in told:
        if score.tokens:
            found.setdefault(response.key, []).append(score)
    return {key: sum(_nats_a_token(scores)) / len(scores) for key, scores in found.items()}


# --- what is made of it ---------------------------------------------------------------------------------------------


def score_lines(found: Familiarity) -> Iterator[str]:
    """Yield one line of JSON for each response: where it stands, and its score.

    Args:
        found: All of it.
    """
    for response, score in zip(found.responses, found.scores, strict=True):
        yield json.dumps(_told(response, score), ensure_ascii=False)


def pick_lowest(found: Familiarity, name: str) -> tuple[Dataset, int]:
    """Keep for each prompt the response that the model finds most familiar; of equals the first.

    Args:
        found: All of it.
        name: The new data set's.

    Returns:
        Chat rows in the order in which their prompts first came, each with `provenance` (where it stood, the model, its
        score, and those of its rivals), and how many prompts were left out because none of their responses has a score.
    """
    groups: dict[str, list[tuple[Response, ResponseScore]]] = {}
    for response, score in zip(found.responses, found.scores, strict=True):
        groups.setdefault(response.key, []).append((response, score))
    picked: list[Row] = []
    for group in groups.values():
        scored = [one for one in group if one[1].tokens]
        if scored:
            best = min(scored, key=lambda one: one[1].nats / one[1].tokens)
            picked.append(_marked(best, scored, found.model, len(picked) + 1))
    return Dataset(name=name, format=RowFormat.CHAT, rows=tuple(picked)), len(groups) - len(picked)


def _marked(
    best: tuple[Response, ResponseScore], scored: Sequence[tuple[Response, ResponseScore]], model: str, line: int
) -> ChatRow:
    response, score = best
    rivals = [_told(*one) for one in scored if one[0] is not response]
    told: dict[str, Any] = {**_told(response, score), "sha256": response.sha256, "model": model, "rivals": rivals}
    if PROVENANCE in response.row.extra:
        told["earlier"] = response.row.extra[PROVENANCE]
    return replace(response.row, extra={**response.row.extra, PROVENANCE: told}, line=line)


def _told(response: Response, score: ResponseScore) -> dict[str, Any]:
    return {
        "source": response.source,
        "line": response.row.line,
        "perplexity": score.perplexity,
        "nats": score.nats,
        "tokens": score.tokens,
    }
