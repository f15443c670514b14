"""The report of data as one self-contained HTML page: no script, no network, every text escaped, light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.synthesis.charts import chart, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.synthesis.measures import Diversity, Histogram
    from broker.synthesis.report import Alike, DataReport, Lineage, Sample

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#60646c;--line:#dcdfe4;--paper:#fff;--card:#f6f7f9;--s0:#3a6ea5;
--s1:#c8733b;--s2:#5f8f4e;--bad:#b3452e}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a0a5ad;--line:#363a41;--paper:#16181b;--card:#1f2226;
--s0:#7fb2e5;--s1:#e8a26f;--s2:#98c785;--bad:#ef8f7a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:24px 20px 60px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:36px 0 10px;
border-bottom:1px solid var(--line);padding-bottom:4px}h3{font-size:1rem;margin:0 0 6px}
p{margin:6px 0}.soft,figcaption,dt,th{color:var(--soft)}.remark{color:var(--bad)}
nav a{margin-right:14px}a{color:var(--s0)}section.source{margin-top:52px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px;margin:16px 0}
.cards div,figure,details{background:var(--card);border:1px solid var(--line);border-radius:8px}
.cards div{padding:10px 12px}.cards b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.cards span{color:var(--soft);font-size:.85rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:14px}
figure{margin:0;padding:12px}figcaption{font-size:.85rem;margin-top:4px}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}svg line{stroke:var(--line)}
.s0{fill:var(--s0)}.s1{fill:var(--s1)}.s2{fill:var(--s2)}i.s0,i.s1,i.s2{display:inline-block;width:10px;height:10px;
border-radius:2px;margin:0 4px 0 10px}i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:4px 12px 4px 0;border-bottom:1px solid var(--line)}
th{font-weight:500;font-size:.85rem}td.n,th.n{text-align:right;white-space:nowrap}td.t{overflow-wrap:anywhere;min-width:8em}
td.bar{width:40%;min-width:120px}td.bar svg{height:12px;margin-top:5px}
code{font-size:.85em;overflow-wrap:anywhere}
details{padding:8px 12px;margin:8px 0}summary{cursor:pointer;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 14px;margin:8px 0}dt{font-size:.85rem}
dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
@media print{body{max-width:none}details{break-inside:avoid}figure{break-inside:avoid}}
"""
# Characters of a prompt that are shown in the head of a row.
_HEAD = 110
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def to_page(reports: Sequence[DataReport]) -> str:
    """Return the page.

    Args:
        reports: At least one; more are compared in a table at the top.
    """
    title = reports[0].name if len(reports) == 1 else f"{len(reports)} data sets"
    several = len(reports) > 1
    body = "".join(_report(report, index, named=several) for index, report in enumerate(reports))
    head = f"<h1>Data report: {escape(title)}</h1>" + (_overview(reports) if several else "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Data report: {escape(title)}</title><style>{_STYLE}</style></head><body>{head}{body}</body></html>\n"
    )


def _overview(reports: Sequence[DataReport]) -> str:
    heads = ("source", "rows", "rejected", "prompts alike", "distinct words, pairs, triples", "4-grams elsewhere too")
    rows: list[tuple[str, ...]] = []
    for index, report in enumerate(reports):
        link = f'<a href="#r{index}">{escape(report.name)}</a>'
        for name, found in report.diversity.items():
            told = (f"{report.rows:,}", f"{report.rejected_rows:,}", f"{report.alike[0].rows:,}", *_varied(found))
            rows.append((link if len(report.diversity) == 1 else f"{link} ({escape(name)})", *told))
    return _table(heads, rows, numbers=range(1, 6))


def _report(report: DataReport, index: int, *, named: bool) -> str:
    parts = [
        f'<section class="source" id="r{index}"><h1>{escape(report.name)}</h1>' if named else "<section>",
        f'<p class="soft">{report.rows:,} {escape(report.format)} rows</p>',
        *(f'<p class="remark">{escape(remark)}</p>' for remark in report.remarks),
        _cards(report),
        _counts(report),
        _part("Lengths and reading ease", f'<div class="grid">{"".join(map(_figure, report.histograms))}</div>')
        if report.histograms
        else "",
        _part("Prompts that come twice, or nearly", "".join(map(_alike, report.alike))),
        _diversity(report.diversity),
        _lineage(report.lineage) if report.lineage else "",
        _part(f"Rows, {len(report.samples)} of {report.rows:,}", "".join(map(_sample, report.samples))),
        _rejections(report),
        _files(report),
        "</section>",
    ]
    return "".join(parts)


def _part(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _cards(report: DataReport) -> str:
    made = [(f"{report.rows:,}", "rows")]
    total = report.rows + report.rejected_rows
    if report.rejected_rows:
        made.append((f"{report.rejected_rows / total:.0%}", f"rejected ({report.rejected_rows:,} of {total:,})"))
    made.append((f"{report.alike[0].rows:,}", "prompts like an earlier one"))
    for shown in report.histograms:
        if shown.unit in ("words", "Flesch"):
            made += [(number(mean), f"{shown.unit}, {_of(shown, name)}") for name, mean in shown.means.items()]
    for mark, told in ((mark, told) for shown in report.histograms for mark, told in shown.shares.items()):
        made += [(f"{share:.0%}", f"of {name} {mark} Flesch") for name, share in told.items()]
    return (
        '<div class="cards">'
        + "".join(f"<div><b>{value}</b><span>{escape(what)}</span></div>" for value, what in made)
        + "</div>"
    )


def _of(histogram: Histogram, name: str) -> str:
    return f"mean of {name}" if name != "rows" else "mean"


def _counts(report: DataReport) -> str:
    rows = [(escape(label), escape(value)) for label, value in report.run]
    run = _table(("run", ""), rows, numbers=(1,)) if rows else ""
    if not report.rejected:
        return _part("Counts", run)
    counts = [("accepted", report.rows), *report.rejected]
    highest = max(count for _, count in counts) or 1
    bars = [
        (escape(reason), f"{count:,}", _share_bar(count / highest, "s1" if index else "s2"))
        for index, (reason, count) in enumerate(counts)
    ]
    reasons = _table(("reason", "rows", ""), bars, numbers=(1,), last="bar")
    return _part("Counts", f'<div class="grid"><div>{reasons}</div><div>{run}</div></div>')


def _share_bar(share: float, kind: str) -> str:
    return (
        '<svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="0" y="1" width="{100 * share:.1f}" height="10"/></svg>'
    )


def _figure(histogram: Histogram) -> str:
    keys = "".join(
        f'<i class="s{place % 3}"></i>{escape(name)} (mean {number(mean)})'
        for place, (name, mean) in enumerate(histogram.means.items())
    )
    told = [f"{name} {mark}: {share:.0%}" for mark, found in histogram.shares.items() for name, share in found.items()]
    caption = escape(f"{histogram.unit}; the last bar counts what is above too. {', '.join(told)}")
    head = f"<h3>{escape(histogram.title)}</h3>"
    return f"<figure>{head}{chart(histogram)}<figcaption>{keys} · {caption}</figcaption></figure>"


def _alike(found: Alike) -> str:
    told = (
        f'<p><b>{found.rows:,}</b> rows are like an earlier one. <span class="soft">{escape(found.method)}.</span></p>'
    )
    rows = [
        (f"{pair.similarity:.2f}", f"{pair.line}", escape(pair.text), f"{pair.earlier}", escape(pair.earlier_text))
        for pair in found.pairs
    ]
    heads = ("similarity", "line", "prompt", "line", "earlier prompt")
    return told + (_table(heads, rows, numbers=(0, 1, 3)) if rows else "")


def _diversity(found: Mapping[str, Diversity]) -> str:
    heads = ("series", "texts", "distinct words, pairs, triples", "4-grams elsewhere too")
    rows = [(escape(name), f"{one.texts:,}", *_varied(one)) for name, one in found.items()]
    note = (
        '<p class="soft">Distinct: different n-grams over all n-grams; it falls with the number of texts, so compare '
        "sets of one size. Elsewhere too: mean share of a text's 4-grams that another text has as well.</p>"
    )
    common = "".join(
        f'<p><span class="soft">Most texts of {escape(name)} share: </span>'
        + ", ".join(f"“{escape(gram)}” ({count:,})" for gram, count in one.common)
        + "</p>"
        for name, one in found.items()
        if one.common
    )
    told = _table(heads, rows, numbers=(1, 2, 3)) + note + common
    return _part("Variety of the words", told) if rows else ""


def _varied(found: Diversity) -> tuple[str, str]:
    distinct = " / ".join("–" if value is None else f"{value:.3f}" for value in found.distinct)
    return distinct, "–" if found.repeated is None else f"{found.repeated:.0%}"


def _lineage(found: Lineage) -> str:
    rows: list[tuple[str, str]] = []
    for label, counts in (("pipeline", found.pipelines), ("model", found.models), ("mixed of", found.provenance)):
        if counts:
            rows.append((label, escape(_counted(counts))))
    if found.sources:
        more = f" and {found.titles - len(found.sources):,} more" if found.titles > len(found.sources) else ""
        rows.append((f"sources ({found.titles:,})", escape(_counted(found.sources) + more)))
    for name, hashes in found.prompts.items():
        told = ", ".join(f"<code>{escape(value)}</code> ({count:,})" for value, count in hashes)
        rows.append((f"prompt {escape(name)}", told))
    for name, taken in found.attempts.items():
        told = ", ".join(f"{count:,} × {attempts}" for attempts, count in taken)
        rows.append((f"attempts of {escape(name)}", f"rows × attempts: {told}"))
    if found.rows:
        tokens = f"{found.input_tokens:,} in, {found.output_tokens:,} out"
        rows.append(("tokens and cost of these rows", f"{tokens}, {found.cost_usd:,.4f} USD"))
    return _part("Where the rows come from", _table(("", ""), rows))


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts)


def _sample(sample: Sample, *, opened: bool = True) -> str:
    told = escape(" · ".join(f"{name} {value}" for name, value in sample.facts))
    facts = f'<p class="soft">{told}</p>' if told else ""
    turns = "".join(f"<dt>{escape(who)}</dt><dd>{escape(text)}</dd>" for who, text in sample.turns)
    asked = [text for who, text in sample.turns if who in ("user", "question")] or [text for _, text in sample.turns]
    head = " ".join(asked[0].split()) if asked else ""
    head = head if len(head) <= _HEAD else f"{head[: _HEAD - 1]}…"
    state = " open" if opened else ""
    return f"<details{state}><summary>line {sample.line}: {escape(head)}</summary><dl>{turns}</dl>{facts}</details>"


def _rejections(report: DataReport) -> str:
    parts = [
        f"<h3>{escape(reason)}</h3>" + "".join(_sample(sample, opened=False) for sample in samples)
        for reason, samples in report.rejected_samples
    ]
    return _part("Rejected rows, some of each reason", "".join(parts))


def _files(report: DataReport) -> str:
    rows = [(escape(name), escape(count), f"<code>{escape(sha256)}</code>") for name, count, sha256 in report.files]
    return _part("Files", _table(("file", "rows", "sha256"), rows, numbers=(1,))) if rows else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Iterable[int] = (), last: str = "t") -> str:
    """Return a table; the cells are HTML already, the heads are not."""
    right = set(numbers)
    top = "".join(
        f'<th class="{"n" if place in right else "t"}">{escape(head)}</th>' for place, head in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(_cells(row, right, last))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(row: Sequence[str], right: set[int], last: str) -> Iterable[str]:
    for place, cell in enumerate(row):
        kind = "n" if place in right else last if place == len(row) - 1 else "t"
        yield f'<td class="{kind}">{cell}</td>'
