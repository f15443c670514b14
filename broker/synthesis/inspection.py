"""Looks at rows and makes the values of a report. Pure: what was read comes in, nothing is read here."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from broker.evaluation.flesch import flesch
from broker.jobs.datasets.jsontext import is_object
from broker.jobs.datasets.neighbours import silent
from broker.jobs.datasets.overlaps import METHOD, THRESHOLD, near_duplicates, prompt_text
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow, Row
from broker.synthesis.measures import diversity, histogram
from broker.synthesis.report import Alike, DataReport, Lineage, Pair, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from broker.synthesis.measures import Histogram

ANSWERS, PREFERRED, OTHER = "answers", "preferred", "non-preferred"
SAMPLES = 6
# The paper's mark of a conversational text, and of one that it trains on (arXiv 2507.04889, 2.2 and A.1).
FLESCH_MARKS = (60.0, 75.0)
_FLESCH_EDGES = tuple(float(edge) for edge in range(-20, 131, 10))
_PAIRS_SHOWN = 20
_REJECTED_SHOWN = 2
_SOURCES_SHOWN = 12


def build_report(
    name: str,
    dataset: Dataset,
    *,
    rejected: Sequence[Mapping[str, Any]] = (),
    manifest: Mapping[str, Any] | None = None,
    alike: Sequence[Alike] = (),
    samples: int = SAMPLES,
    seed: int = 0,
    threshold: float = THRESHOLD,
    remarks: Sequence[str] = (),
    tell: Callable[[int, int], None] = silent,
) -> DataReport:
    """Look at rows.

    Args:
        name: What a person called them.
        dataset: The accepted rows.
        rejected: The rejected ones, as a synthesis wrote them.
        manifest: Of a synthesis.
        alike: Near-duplicates by other measures than text.
        samples: How many rows to draw.
        seed: Of the draw.
        threshold: From which similarity two prompts are near-duplicates by text, in (0, 1].
        remarks: What was noticed in reading.
        tell: Told now and then how many prompts have been compared, of how many; the longest part of the work.
    """
    told = manifest or {}
    texts = texts_of(dataset)
    return DataReport(
        name=name,
        format=str(dataset.format),
        rows=len(dataset.rows),
        rejected=_rejected(rejected, told),
        run=_run(told),
        files=_files(told),
        histograms=tuple(_histograms(dataset, texts)),
        alike=(by_text(dataset, threshold, tell), *alike),
        diversity={series: diversity(said) for series, said in texts.items()},
        samples=_samples(dataset.rows, samples, seed),
        rejected_samples=_rejected_samples(rejected),
        lineage=_lineage(dataset.rows),
        remarks=tuple(remarks),
    )


# --- texts and measures ---------------------------------------------------------------------------------------------


def texts_of(dataset: Dataset) -> dict[str, list[str]]:
    """Return what is said in answer: one series of chat rows (all turns of a row together), two of preference rows."""
    found: dict[str, list[str]] = {}
    for row in dataset.rows:
        if isinstance(row, ChatRow):
            found.setdefault(ANSWERS, []).append(_said(row.messages))
        else:
            found.setdefault(PREFERRED, []).append(_said(row.preferred))
            found.setdefault(OTHER, []).append(_said(row.non_preferred))
    return found


def _said(messages: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(str(message.get("content") or "") for message in messages if message["role"] == "assistant")


def _histograms(dataset: Dataset, texts: Mapping[str, Sequence[str]]) -> Iterable[Histogram]:
    if not dataset.rows:
        return
    asked = {"prompts": [prompt_text(row) for row in dataset.rows]}
    yield histogram("Length of the prompts", "words", _lengths(asked))
    yield histogram("Length of the answers", "words", _lengths(texts))
    eased = {name: [score for text in said if (score := flesch(text)) is not None] for name, said in texts.items()}
    yield histogram("Reading ease of the answers", "Flesch", eased, edges=_FLESCH_EDGES, at_least=FLESCH_MARKS)
    turns = [sum(message["role"] == "assistant" for message in row.messages) for row in dataset.rows]
    if max(turns) > 1:
        yield histogram("Answers in a conversation", "answers", {"rows": turns})
    nearest = [float(value) for row in dataset.rows if isinstance(value := _score(row, "nearest"), int | float)]
    if nearest:
        edges = tuple(index / 20 for index in range(21))
        yield histogram("Nearest earlier question, when it was accepted", "cosine", {"rows": nearest}, edges=edges)


def _lengths(texts: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    return {name: [float(len(text.split())) for text in said] for name, said in texts.items()}


def _score(row: Row, name: str) -> Any:
    return _in(_in(row.extra.get("lineage"), "scores"), name)


def _in(value: Any, key: str) -> Any:
    return value.get(key) if is_object(value) else None


def by_text(dataset: Dataset, threshold: float = THRESHOLD, tell: Callable[[int, int], None] = silent) -> Alike:
    """Find prompts that come twice, or nearly, by their texts.

    Args:
        dataset: The rows.
        threshold: Least Jaccard similarity of character trigrams, in (0, 1].
        tell: Told now and then how many prompts have been compared, of how many.
    """
    found = near_duplicates(dataset, threshold, tell)
    texts = {row.line: prompt_text(row) for row in dataset.rows}
    return alike_of(
        METHOD.format(threshold=threshold), [(o.validation_line, o.train_line, o.similarity) for o in found], texts
    )


def alike_of(method: str, found: Sequence[tuple[int, int, float]], texts: Mapping[int, str]) -> Alike:
    """Put near-duplicates together.

    Args:
        method: The measure, in words.
        found: Line, line of the earlier row, similarity.
        texts: Prompts by line.
    """
    best = sorted(found, key=lambda one: (-one[2], one[0]))[:_PAIRS_SHOWN]
    pairs = [
        Pair(line=line, earlier=earlier, similarity=near, text=_short(texts[line]), earlier_text=_short(texts[earlier]))
        for line, earlier, near in best
    ]
    return Alike(method=method, rows=len(found), pairs=tuple(pairs))


def _short(text: str, limit: int = 160) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= limit else f"{one_line[: limit - 1]}…"


# --- what a synthesis wrote -----------------------------------------------------------------------------------------


def _rejected(rejected: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    told = manifest.get("rejected")
    counts = Counter(str(one.get("reason") or "no reason given") for one in rejected)
    if is_object(told):
        counts = Counter({str(reason): int(count) for reason, count in told.items() if isinstance(count, int)})
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


_RUN = (
    ("pipeline", "pipeline", "{}"),
    ("model", "model", "{}"),
    ("requested", "rows asked for", "{:,}"),
    ("accepted", "rows accepted", "{:,}"),
    ("requests", "requests", "{:,}"),
    ("answers_of_other_jobs", "paid for by earlier jobs", "{:,}"),
    ("possibly_paid_twice", "possibly paid twice", "{:,}"),
    ("input_tokens", "input tokens", "{:,}"),
    ("output_tokens", "output tokens", "{:,}"),
    ("cost_usd", "cost", "{:,.4f} USD"),
)


_MOST_COVERED = 12


def _run(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for key, label, form in _RUN:
        value = manifest.get(key)
        if isinstance(value, str):
            found.append((label, value))
        elif isinstance(value, int | float):
            found.append((label, form.format(value)))
    return (*found, *_covered(manifest.get("coverage")))


def _covered(coverage: object) -> Iterator[tuple[str, str]]:
    """Yield what the rows cover, as the pipeline counted it: a number each, or the most frequent of many."""
    for name, value in coverage.items() if is_object(coverage) else ():
        if is_object(value):
            shown = ", ".join(f"{word} ({count})" for word, count in list(value.items())[:_MOST_COVERED])
            yield f"covered {name} ({len(value)})", shown
        else:
            yield f"covered {name}".replace("_", " "), str(value)


def _files(manifest: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    files = manifest.get("files")
    if not is_object(files):
        return ()
    return tuple((name, str(_in(told, "rows") or "–"), str(_in(told, "sha256") or "–")) for name, told in files.items())


def _rejected_samples(rejected: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[Sample, ...]], ...]:
    found: dict[str, list[Sample]] = {}
    for line, one in enumerate(rejected, 1):
        shown = found.setdefault(str(one.get("reason") or "no reason given"), [])
        if len(shown) < _REJECTED_SHOWN:
            shown.append(_rejected_sample(one, line))
    return tuple((reason, tuple(shown)) for reason, shown in sorted(found.items()))


def _rejected_sample(one: Mapping[str, Any], line: int) -> Sample:
    data = one.get("data")
    turns = [(str(name), str(value)) for name, value in data.items() if value] if is_object(data) else []
    facts = [("why", str(one.get("detail") or "")), ("source", str(_in(one.get("source"), "title") or ""))]
    scores = one.get("scores")
    facts += [(str(name), _value(value)) for name, value in scores.items()] if is_object(scores) else []
    return Sample(line=line, turns=tuple(turns), facts=tuple(fact for fact in facts if fact[1]))


# --- rows to look at, and where they come from ----------------------------------------------------------------------


def _samples(rows: Sequence[Row], count: int, seed: int) -> tuple[Sample, ...]:
    drawn = sorted(Random(seed).sample(range(len(rows)), min(count, len(rows))))
    return tuple(_sample(rows[index]) for index in drawn)


def _sample(row: Row) -> Sample:
    turns = [(str(message["role"]), str(message.get("content") or "")) for message in row.messages]
    if isinstance(row, PreferenceRow):
        turns += [(PREFERRED, _said(row.preferred)), (OTHER, _said(row.non_preferred))]
    lineage = row.extra.get("lineage")
    facts = [("source", str(_in(_in(lineage, "source"), "title") or "")), ("model", str(_in(lineage, "model") or ""))]
    scores = _in(lineage, "scores")
    facts += [(str(name), _value(value)) for name, value in scores.items()] if is_object(scores) else []
    facts += [("from", str(_in(row.extra.get("provenance"), "source") or ""))]
    return Sample(line=row.line, turns=tuple(turns), facts=tuple(fact for fact in facts if fact[1]))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lineage(rows: Sequence[Row]) -> Lineage | None:
    told = [lineage for row in rows if is_object(lineage := row.extra.get("lineage"))]
    mixed = _ranked(_in(row.extra.get("provenance"), "source") for row in rows)
    if not told and not mixed:
        return None
    titles = _ranked(_in(one.get("source"), "title") for one in told)
    return Lineage(
        rows=len(told),
        sources=titles[:_SOURCES_SHOWN],
        titles=len(titles),
        models=_ranked(one.get("model") for one in told),
        pipelines=_ranked(one.get("pipeline") for one in told),
        prompts={name: _ranked(hashes) for name, hashes in _by_name(told, "prompts").items()},
        attempts={
            name: tuple(sorted(Counter(int(count) for count in counts if isinstance(count, int)).items()))
            for name, counts in _by_name(told, "attempts").items()
        },
        input_tokens=round(_total(told, "input_tokens")),
        output_tokens=round(_total(told, "output_tokens")),
        cost_usd=_total(told, "cost_usd"),
        provenance=mixed,
    )


def _ranked(values: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    counts = Counter(str(value) for value in values if value)
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_name(told: Iterable[Mapping[str, Any]], key: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in told:
        values = one.get(key)
        for name, value in values.items() if is_object(values) else ():
            found.setdefault(str(name), []).append(value)
    return found


def _total(told: Iterable[Mapping[str, Any]], key: str) -> float:
    return sum(float(value) for one in told if isinstance(value := one.get(key), int | float))
