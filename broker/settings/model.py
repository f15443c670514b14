"""The settings themselves, read by pydantic-settings."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from broker.errors import Problem, UnknownNameError
from broker.settings import sources
from broker.settings.locations import BATCH, absolute, default_cache_dir, default_data_dir, default_store_url

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILTIN_KINDS = ("local", "openai", "gemini", "fake")

Words = Annotated[tuple[str, ...], NoDecode]


class Account(BaseModel):
    """One account at a provider: the built-in ones need no section; `[providers.NAME]` adds or changes one.

    Attributes:
        kind: Which provider speaks to it: `local`, `openai`, `gemini`, `fake`, or the name of an entry point.
        name: What a person calls it; the `NAME` of its section.
        base_url: Where its API is; the provider's own when None.
        api_key: The key. Better given by environment than in a file.
        api_key_env: Name of the environment variable that holds the key.
        organization: OpenAI organization id.
        project: OpenAI project id.
        model: Base model used when the person names none.
        grace_s: How long a created job may stay invisible, seconds; the provider's own figure when None.
        poll_s: Time between two polls, seconds; the provider's own figure when None.
        concurrency: Most jobs or requests at once; the provider's own figure when None.
        options: What only this kind of provider understands.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str = ""
    base_url: str | None = None
    api_key: SecretStr | None = None
    api_key_env: str | None = None
    organization: str | None = None
    project: str | None = None
    model: str | None = None
    grace_s: float | None = Field(default=None, ge=0)
    poll_s: float | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=None, ge=1)
    options: dict[str, Any] = Field(default_factory=dict[str, Any])

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("a base URL begins with http:// or https://")
        return value


class JudgeDefaults(BaseModel):
    """The model that judges answers, when `--judge` is not given.

    Attributes:
        provider: The account that asks it.
        model: The model; the account's own when None.
        samples: Judgements of each answer.
        temperature: Of its replies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    model: str | None = None
    samples: int = Field(default=3, ge=1, le=100)
    temperature: float = Field(default=1.0, ge=0)


class Defaults(BaseModel):
    """What a command takes when its flag is not given.

    Attributes:
        provider: Account that tunes.
        model: Base model at that account (an account's own `model` is stronger).
        train: Training rows: a file or `hf:NAME[:split]`.
        validation: Frozen validation rows: a file or `hf:NAME[:split]`.
        experiment: Name of the experiment.
        metrics: Names of metrics.
        encoder: Sentence encoder of the similarity metric.
        budget_usd: Most that one run may reserve, USD.
        judge: The model that judges answers, for metrics such as `judge:empathy`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str | None = None
    model: str | None = None
    train: str | None = None
    validation: str | None = None
    experiment: str | None = None
    metrics: Words | None = None
    encoder: str | None = None
    budget_usd: float | None = Field(default=None, ge=0)
    judge: JudgeDefaults | None = None

    @field_validator("metrics", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


class Settings(BaseSettings):
    """All settings. `load_settings` builds them with readable errors; `Settings(...)` takes flags by name.

    Attributes:
        config: Settings file used in place of the project's.
        data_dir: Jobs, data sets, answers, adapters.
        cache_dir: What can be made again: sandbox models.
        store_url: `sqlite:////path/broker.db` or `postgresql+psycopg://…`.
        catalog: TOML file with further models, prices and dates; `catalog.toml` in the data folder when None.
        hf_token: Hugging Face token, for gated models.
        device: `cpu`, `cuda`, `cuda:1`; the best there is when None.
        lease_s: How long a job stays reserved for a broker that says nothing more, seconds.
        poll_s: Time between two polls, seconds, for every account; the provider's own figure when None.
        grace_s: How long a created job may stay invisible, seconds, for every account; likewise.
        color: Colours on the terminal.
        defaults: What a command takes when its flag is not given.
        providers: Accounts by name.
    """

    model_config = SettingsConfigDict(
        env_prefix="BROKER_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True,
        nested_model_default_partial_update=True,
    )  # fmt: skip

    config: Path | None = None
    data_dir: Path = Field(default_factory=default_data_dir)
    cache_dir: Path = Field(default_factory=default_cache_dir)
    store_url: str = Field(default="", repr=False)
    catalog: Path | None = None
    hf_token: SecretStr | None = None
    device: str | None = None
    lease_s: float = Field(default=60.0, ge=1)
    poll_s: float | None = Field(default=None, gt=0)
    grace_s: float | None = Field(default=None, ge=0)
    color: Literal["auto", "always", "never"] = "auto"
    defaults: Defaults = Defaults()
    providers: dict[str, Account] = Field(default_factory=dict[str, Account])
    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _at_address: dict[str, None] = PrivateAttr(default_factory=dict[str, None])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, the strongest first."""
        del dotenv_settings, file_secret_settings
        return (
            init_settings,
            env_settings,
            sources.AccountVariables(settings_cls),
            sources.Files(settings_cls),
            sources.ForeignVariables(settings_cls),
        )

    @field_validator("data_dir", "cache_dir", "catalog")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else absolute(value)

    @field_validator("providers", mode="before")
    @classmethod
    def _name_accounts(cls, value: Any) -> Any:
        return sources.named_accounts(value, BUILTIN_KINDS)

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if not self.store_url:
            # The model is frozen for its users; this is still its making.
            object.__setattr__(self, "store_url", default_store_url(self.data_dir))
        self._warnings = tuple(sources.warnings(self.config, type(self).model_fields))
        return self

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return what is not wrong but should be mended, such as a key in a file that others can read."""
        return self._warnings

    @property
    def catalog_path(self) -> Path | None:
        """Return the person's own catalog file, if there is one."""
        mine = self.data_dir / "catalog.toml"
        return self.catalog or (mine if mine.is_file() else None)

    def account_names(self) -> tuple[str, ...]:
        """Return the built-in and the named accounts, and those at an address that were used."""
        return tuple(dict.fromkeys([*BUILTIN_KINDS, *self.providers, *self._at_address]))

    def remember(self, name: str) -> None:
        """Count an account at an address (`openai@https://host/v1`) among the names.

        Args:
            name: The account.
        """
        self._at_address.setdefault(name)

    def account(self, name: str) -> Account:
        """Return one account.

        `NAME@URL` is the account NAME, with its key, at another address, a bare `URL` is a server that speaks OpenAI's
        protocol and gets no key, and `NAME+batch` the account that asks by the Batch API: the name of a job's account
        says where the job is and how it works, also after a restart.

        Args:
            name: A name of `[providers.NAME]`, a built-in kind, or the name of an installed provider.

        Raises:
            UnknownNameError: There is none; the message names the known ones and the nearest.
        """
        if found := self.providers.get(name):
            return found
        if name.endswith(BATCH):
            plain = self.account(name.removesuffix(BATCH))
            return plain.model_copy(update={"name": name, "options": {**plain.options, "batch": True}})
        if name.startswith(("http://", "https://")):
            return Account(kind="openai", name=name, base_url=name)
        known, mark, address = name.partition("@")
        if mark and address.startswith(("http://", "https://")):
            return self.account(known).model_copy(update={"name": name, "base_url": address})
        if name in BUILTIN_KINDS or name in installed_kinds():
            return Account(kind=name, name=name)
        raise unknown_account(name, [*self.account_names(), *installed_kinds()])

    def default_model(self, name: str) -> str | None:
        """Return the base model for an account when the person names none.

        Args:
            name: The account.
        """
        meant = self.defaults.provider in {None, name}
        return self.account(name).model or (self.defaults.model if meant else None)


def installed_kinds() -> tuple[str, ...]:
    """Return the kinds that installed packages offer (entry point group `broker.providers`)."""
    return tuple(sorted({point.name for point in entry_points(group="broker.providers")}))


def unknown_account(name: str, known: Sequence[str]) -> UnknownNameError:
    """Make the error for an account that nobody knows.

    Args:
        name: What was asked for.
        known: The names there are.
    """
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1)
    fix = f"did you mean {near[0]}?" if near else f'add [providers.{name}] with kind = "openai" to broker.toml'
    return UnknownNameError(f"unknown provider {name!r}; known: {', '.join(names)}", where="--provider", fix=fix)
