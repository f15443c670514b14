"""The catalog: look up a model, its snapshot, its price, its end."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from broker.catalog.rows import PER_MILLION, Announcement, ModelFacts, Price, Use, laid_over, read_rows
from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

WARN_DAYS = 90
_TABLES = ("model", "price", "announcement")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some work costs by the catalog.

    Attributes:
        usd: US dollars.
        basis: The price row and the counts it was made from, one line.
    """

    usd: float
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What is known about models, in the order of the file; a person's own rows are laid over it.

    Attributes:
        models: Facts.
        prices: Price rows.
        announcements: What the services said.
    """

    models: tuple[ModelFacts, ...] = ()
    prices: tuple[Price, ...] = ()
    announcements: tuple[Announcement, ...] = ()

    @classmethod
    def load(cls, extra: Path | None = None) -> Catalog:
        """Read the catalog that comes with the broker, and a person's own rows over it.

        Args:
            extra: A TOML file with the same tables (`Settings.catalog_path`).

        Raises:
            SpecError: The person's file is missing, is not TOML, or has rows that do not fit; all at once.
        """
        own = files("broker.catalog").joinpath("catalog.toml").read_text(encoding="utf-8")
        catalog = cls._parse(tomllib.loads(own), "catalog.toml")
        return catalog if extra is None else catalog._over(_read(extra), str(extra))

    @classmethod
    def _parse(cls, tables: Mapping[str, Any], where: str) -> Catalog:
        models, bad_models = read_rows(ModelFacts, "model", tables.get("model", []), where)
        prices, bad_prices = read_rows(Price, "price", tables.get("price", []), where)
        said, bad_said = read_rows(Announcement, "announcement", tables.get("announcement", []), where)
        unknown = [
            Problem(where=where, what=f"unknown table [[{name}]]", fix=f"known: {', '.join(_TABLES)}")
            for name in tables
            if name not in _TABLES
        ]
        if problems := [*unknown, *bad_models, *bad_prices, *bad_said]:
            raise SpecError(problems, summary="the catalog file is not usable")
        return cls(models=tuple(models), prices=tuple(prices), announcements=tuple(said))

    def _over(self, tables: Mapping[str, Any], where: str) -> Catalog:
        extra = self._parse(tables, where)
        return Catalog(
            models=laid_over(self.models, extra.models),
            prices=laid_over(self.prices, extra.prices),
            announcements=laid_over(self.announcements, extra.announcements),
        )

    # --- models -------------------------------------------------------------------------------------------------------

    def of(self, kind: str) -> tuple[ModelFacts, ...]:
        """Return the models of one kind of provider.

        Args:
            kind: `openai`, `gemini`, `local`, …
        """
        return tuple(facts for facts in self.models if facts.kind == kind)

    def model(self, kind: str, name: str) -> ModelFacts | None:
        """Return what is known about a model.

        Args:
            kind: Kind of provider.
            name: A snapshot, an alias, or a tuned model (`ft:BASE:…`), which has the facts of its base.
        """
        base = base_of(name)
        return next((facts for facts in self.of(kind) if base == facts.name or base in facts.aliases), None)

    def pin(self, kind: str, name: str) -> str:
        """Return the exact snapshot that a name stands for; the name itself when the catalog does not know it.

        Args:
            kind: Kind of provider.
            name: A name or an alias; a tuned model stands for itself.
        """
        facts = None if is_tuned(name) else self.model(kind, name)
        return facts.name if facts else name

    def default(self, kind: str) -> str:
        """Return the model that is used when a person names none; empty when the catalog has no opinion.

        Args:
            kind: Kind of provider.
        """
        return next((facts.name for facts in self.of(kind) if facts.default), "")

    def alternatives(self, kind: str, name: str, today: date) -> tuple[str, ...]:
        """Return living models to use in place of one.

        Args:
            kind: Kind of provider.
            name: The model that cannot be used: gone, or gated.
            today: The day to judge by.

        Returns:
            Its named successors, else the other living models of that provider; open ones only when it is gated.
        """
        facts = self.model(kind, name)
        named = facts.successors if facts else ()
        others = [
            other.name for other in self.of(kind) if not other.gated and (facts is None or other.name != facts.name)
        ]
        living = [other for other in (named or others) if not self.gone(kind, other, today)]
        return tuple(living)

    # --- dates --------------------------------------------------------------------------------------------------------

    def gone(self, kind: str, name: str, today: date) -> bool:
        """Say whether a model has been shut down.

        Args:
            kind: Kind of provider.
            name: The model; one that the catalog does not know is not gone.
            today: The day to judge by.
        """
        facts = self.model(kind, name)
        return bool(facts and facts.shutdown and facts.shutdown <= today)

    def shutdown(self, kind: str, model: str, today: date) -> Problem | None:
        """Say what stands against using a model: it is gone (error), or will be within 90 days (warning).

        Args:
            kind: Kind of provider.
            model: The model.
            today: The day to judge by.
        """
        facts = self.model(kind, model)
        if facts is None or facts.shutdown is None or (facts.shutdown - today).days > WARN_DAYS:
            return None
        gone = facts.shutdown <= today
        verb = "was shut down on" if gone else "will be shut down on"
        what = f"{model} {verb} {facts.shutdown} [{facts.source}, {facts.as_of}]"
        instead = ", ".join(self.alternatives(kind, model, today))
        fix = f"use {instead}" if instead else "choose another model"
        note = f"; {facts.note}" if facts.note else ""
        return Problem(where="--model", what=what + note, fix=fix, severity="error" if gone else "warning")

    def announcements_for(self, kind: str, work: str, today: date) -> list[Problem]:
        """Return what a service announced about some work: an error once it is closed to all, warnings otherwise.

        Only the provider's own service is meant; a server that speaks the same protocol elsewhere is not.

        Args:
            kind: Kind of provider.
            work: `tuning` or `answering`.
            today: The day to judge by.
        """
        said = [row for row in self.announcements if row.kind == kind and row.work == work]
        return [_as_problem(row, today) for row in said if row.on <= today or (row.on - today).days <= WARN_DAYS]

    # --- money --------------------------------------------------------------------------------------------------------

    def price(self, kind: str, model: str, use: Use | str) -> Price | None:
        """Return a price row.

        Args:
            kind: Kind of provider.
            model: A snapshot, an alias, or a tuned model, which has the prices of its base.
            use: What is paid for.
        """
        facts = self.model(kind, model)
        name = facts.name if facts else base_of(model)
        return next((row for row in self.prices if row.key == (kind, name, Use(use))), None)

    def training_cost(self, kind: str, model: str, tokens: int) -> Cost | None:
        """Return the price of training.

        Args:
            kind: Kind of provider.
            model: The base model.
            tokens: Trained tokens: those of all rows × epochs.

        Returns:
            The cost, or None when the catalog has no price: unknown is not free.
        """
        row = self.price(kind, model, Use.TRAINING)
        if row is None or row.training is None:
            return None
        return Cost(usd=tokens * row.training / PER_MILLION, basis=f"{tokens:,} trained tokens × {row}")

    def answer_cost(
        self,
        kind: str,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        batch: bool = False,
    ) -> Cost | None:
        """Return the price of asking a model.

        Args:
            kind: Kind of provider.
            model: The model; `ft:…` has the tuned price of its base.
            input_tokens: Tokens of the prompts, the cached ones among them.
            output_tokens: Tokens of the answers.
            cached_tokens: Tokens of the prompts that the provider had seen before.
            batch: Asked through the batch service.

        Returns:
            The cost, or None when the catalog has no price: unknown is not free.
        """
        use = Use(("tuned" if is_tuned(model) else "base") + ("_batch" if batch else ""))
        row = self.price(kind, model, use)
        if row is None or row.input is None or row.output is None:
            return None
        cached = row.input if row.cached_input is None else row.cached_input
        micro = (input_tokens - cached_tokens) * row.input + cached_tokens * cached + output_tokens * row.output
        return Cost(usd=micro / PER_MILLION, basis=f"{input_tokens:,} in + {output_tokens:,} out tokens × {row}")


def is_tuned(name: str) -> bool:
    """Say whether a name is that of a model tuned at OpenAI or at a server that names like it.

    Args:
        name: As `ft:gpt-4o-mini-2024-07-18:org:suffix:id`.
    """
    return name.startswith("ft:")


def base_of(name: str) -> str:
    """Return the base of a tuned model's name, or the name itself.

    Args:
        name: As `ft:gpt-4o-mini-2024-07-18:org:suffix:id`, with or without `:ckpt-step-N`.
    """
    match = re.match(r"ft:([^:]+)", name)
    return match[1] if match else name


def _as_problem(row: Announcement, today: date) -> Problem:
    begun = row.on <= today
    what = f"{'since' if begun else 'from'} {row.on}: {row.what} [{row.source}, {row.as_of}]"
    return Problem(where=row.kind, what=what, fix=row.fix, severity="error" if begun and row.closes else "warning")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(where=str(path), what=f"the catalog file cannot be read: {error}")]) from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError([Problem(where=str(path), what=f"the catalog file is not valid TOML: {error}")]) from error
