"""The page as a whole: head with its policy, sections, script.

Nothing is fetched and nothing that a model wrote can run: the policy allows one script, by its hash; all text is
escaped; answers travel as JSON in which `<`, `>` and `&` are written as escapes.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from broker.results import wording
from broker.results.document.answers import answer_section
from broker.results.document.drawn import absent, drawing, numbers_table
from broker.results.document.parted import parts_section
from broker.results.document.preferences import preference_section
from broker.results.document.tabled import table_section
from broker.results.figures.palette import DARK, LIGHT, variables
from broker.results.figures.values import Absent
from broker.results.headline import headline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.results.figures.values import Figure
    from broker.results.report import Report

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
# An icon of its own, so that no browser asks a server for one.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 13h3V8H2zm4.5 "
    "0h3V3h-3zM11 13h3V6h-3z' fill='%232f6bd8'/%3E%3C/svg%3E"
)


def to_page(report: Report) -> str:
    """Return an experiment's results as one self-contained HTML page.

    Args:
        report: What to show.
    """
    table, script = report.table, _file("script.js")
    sections = [
        ("table", "Models", table_section(report)),
        ("figures", "Figures", _figures(report.figure(name) for name in ("bars", "size", "similarity"))),
        ("differences", "Differences", _differences(report)),
        ("parts", "Parts", parts_section(table)),
        ("preferences", "Preferences", preference_section(table)),
        ("training", "Training", _figures([report.figure("loss")])),
        ("answers", "Answers", answer_section(report)),
        ("conditions", "Conditions", _conditions(report)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    bodies = "".join(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>{body}</section>'
        for name, title, body in shown
    )
    policy = _POLICY.format(hash=b64encode(hashlib.sha256(script.encode()).digest()).decode())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="{escape(_ICON)}"><title>Results of {escape(table.experiment)}</title>'
        f"<style>{_style()}</style></head><body>{_header(report, links)}<main>{_warnings(table.warnings)}{bodies}"
        f"</main><footer>Made by finetune-broker{_version()}.</footer><script>{script}</script></body></html>\n"
    )


@cache
def _file(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    light, dark = variables(LIGHT), variables(DARK)
    return (
        f":root{{{light};color-scheme:light}}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark};color-scheme:dark}}}}"
        f":root[data-theme=dark]{{{dark};color-scheme:dark}}{_file('style.css')}"
        f"@media print{{:root,:root[data-theme=dark],:root:not([data-theme=light]){{{light};color-scheme:light}}}}"
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f" {version('finetune-broker')}"
    except PackageNotFoundError:
        return ""


def _header(report: Report, links: str) -> str:
    table = report.table
    facts = "".join(
        f"<div><dt>{escape(fact.name)}</dt><dd>{escape(fact.value)}<small>{escape(fact.more)}</small></dd></div>"
        for fact in headline(table)
    )
    return (
        f'<header><div class="top"><h1>Results of {escape(table.experiment)}</h1>'
        f'<button type="button" id="theme" hidden>light / dark</button></div>'
        f'<dl class="facts">{facts}</dl><nav aria-label="Sections">{links}</nav></header>'
    )


def _warnings(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="warnings" aria-label="Warnings">{items}</ul>' if items else ""


def _figures(figures: Iterable[Figure]) -> str:
    return "".join(_figure(figure) for figure in figures)


def _figure(figure: Figure, name: str = "") -> str:
    if isinstance(figure, Absent):
        return absent(figure)
    return (
        f"<figure><h3>{escape(figure.title)}</h3>{drawing(figure, name)}"
        f"<figcaption>{escape(figure.note)}</figcaption>{numbers_table(figure)}</figure>"
    )


def _differences(report: Report) -> str:
    """Return a forest plot for each metric: the main one open, the others folded."""
    main = report.figure("forest")
    parts = [_figure(main)]
    for column in report.metrics:
        figure = report.figure("forest", column.name)
        if not isinstance(figure, Absent) and figure != main:
            name = wording.head(column)[0]
            parts.append(
                f"<details><summary>{escape(name)}</summary>{_figure(figure, f'forest-{column.name}')}</details>"
            )
    return "".join(parts)


def _conditions(report: Report) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in report.table.notes)
    sha = report.table.conditions.get("validation_sha256")
    whole = f'<p class="muted">SHA-256 of the validation set: <code>{escape(str(sha))}</code></p>' if sha else ""
    return f'<ul class="notes">{items}</ul>{whole}'
