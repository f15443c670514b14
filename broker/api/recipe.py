"""Recipes: an experiment as a TOML file.

```toml
name = "tone-of-voice"
train = "train.jsonl"              # for every job that names no other
validation = "validation.jsonl"
metrics = ["conversational", "flesch", "similarity"]
encoder = "Alibaba-NLP/gte-modernbert-base"
budget_usd = 20.0

[decoding]
max_tokens = 256

[judge]                            # for metrics such as judge:empathy or judge:FILE.toml
provider = "openai"
model = "gpt-4.1-mini"
samples = 3

[[policies]]                       # system messages that a base may be asked under, by name
name = "verbose"
system = "You are a helpful assistant. …"

[[models]]                         # models to ask as they are
provider = "local"
model = "meta-llama/Llama-3.2-1B-Instruct"
policies = ["as-is", "verbose"]

[[synthesis]]                      # rows to be made first; a job names them as train = "synthesis:made/train.jsonl"
name = "made"
provider = "gemini"
source = "sections.jsonl"
pipeline = "qa"
rows = 10000

[[mixes]]                          # training rows mixed of two sources; a job names them as train = "mix:NAME"
name = "300-200"
real = "real.jsonl"
synthetic = "synthetic.jsonl"
ratio = "300:200"                  # so many rows; with `rows` shares of them

[[jobs]]                           # models to tune; a list in `grid` makes one job for each combination
provider = "local"
precision = "int8"
[jobs.grid]
rank = [32, 48, 64]
```

Paths are relative to the recipe. Every key of `[[jobs]]` that is not one of the job's own is a hyperparameter; a grid
may also vary `model`, `train` and `seed`.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker.api.recipe_synthesis import SYNTHESIS, RecipeSynthesis, made_file
from broker.api.request import ExperimentRequest, JudgeRequest, MixRequest, ModelRequest, TuneRequest
from broker.api.sources import MIX
from broker.errors import Problem, SpecError
from broker.evaluation.policies import named_policies
from broker.jobs.spec import Decoding, Method, ParameterValue, PromptPolicy
from broker.settings.files import rooted_metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.api.synthesis import SynthesisRequest

_OWN = frozenset(
    {
        "provider",
        "model",
        "train",
        "method",
        "seed",
        "suffix",
        "label",
        "metadata",
        "priority",
        "grid",
        "hyperparameters",
    }
)


# Sources that are no paths of the recipe's folder.
_NAMED_SOURCES = ("hf:", MIX)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipePolicy(_Strict):
    """A named system message."""

    name: str
    system: str | None = None


class RecipeMix(_Strict):
    """Training rows mixed of two sources."""

    name: str
    real: str
    synthetic: str
    ratio: str
    rows: int | None = Field(default=None, ge=1)
    seed: int = 0
    stratify: str | None = None


class RecipeModel(_Strict):
    """A model to ask as it is."""

    provider: str
    model: str | None = None
    adapter: str | None = None
    precision: str | None = None
    policies: tuple[str, ...] = ("as-is",)
    label: str = ""


class RecipeJob(BaseModel):
    """A model to tune, or a grid of them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    model: str | None = None
    train: str | None = None
    method: Method = Method.SFT
    seed: int = 713
    suffix: str | None = None
    label: str = ""
    priority: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)


class RecipeDecoding(_Strict):
    """How answers are drawn."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=256, ge=1)
    seed: int = 0


class RecipeJudge(_Strict):
    """The model that judges answers."""

    provider: str
    model: str | None = None
    samples: int | None = Field(default=None, ge=1, le=100)
    temperature: float | None = Field(default=None, ge=0)


class Recipe(_Strict):
    """An experiment, as written in a file.

    Attributes:
        name: Name of the experiment.
        train: Training rows for every job that names no other.
        validation: The frozen set.
        split: Share of the training rows to hold out, when there is no validation file.
        metrics: Names of metrics.
        encoder: Sentence encoder of the similarity metric.
        judge: The model that judges answers, for metrics such as `judge:empathy`.
        budget_usd: Most that may be reserved and spent.
        bases: Ask the base of every tuned model too.
        policy: Name of the system message that tuned models get.
        allow_overlap: Go on when validation prompts are in the training rows.
        notes: Stated under the table.
        decoding: How answers are drawn.
        policies: System messages by name.
        models: Models to ask as they are.
        synthesis: Rows to be made first.
        mixes: Training rows mixed of two sources.
        jobs: Models to tune.
        folder: Where relative paths begin.
    """

    name: str | None = None
    train: str | None = None
    validation: str | None = None
    split: float | None = Field(default=None, gt=0, lt=1)
    metrics: tuple[str, ...] | None = None
    encoder: str | None = None
    judge: RecipeJudge | None = None
    budget_usd: float | None = Field(default=None, ge=0)
    bases: bool = True
    policy: str = "as-is"
    allow_overlap: bool = False
    notes: dict[str, str] = Field(default_factory=dict)
    decoding: RecipeDecoding = RecipeDecoding()
    policies: tuple[RecipePolicy, ...] = ()
    models: tuple[RecipeModel, ...] = ()
    synthesis: tuple[RecipeSynthesis, ...] = ()
    mixes: tuple[RecipeMix, ...] = ()
    jobs: tuple[RecipeJob, ...] = ()
    folder: Path = Path()

    def request(self, *, again: bool = False) -> ExperimentRequest:
        """Return the recipe in the common form.

        Args:
            again: Make new jobs even if the same ones exist.

        Raises:
            SpecError: A policy that is not defined, a job without training rows.
        """
        problems: list[Problem] = []
        policies = {
            **named_policies(),
            **{p.name: PromptPolicy(name=p.name, system=p.system) for p in self.policies},
        }
        models = [self._model(index, model, policies, problems) for index, model in enumerate(self.models)]
        tunings = [one for index, job in enumerate(self.jobs) for one in self._jobs(index, job, problems)]
        problems += self._unmixed(tunings)
        if self.policy not in policies:
            problems.append(_no_policy("policy", self.policy, policies))
        if problems:
            raise SpecError(problems)
        return ExperimentRequest(
            name=self.name,
            validation=self._source(self.validation),
            split=self.split,
            tunings=tuple(tunings),
            models=tuple(models),
            mixes=tuple(self._mix(mix) for mix in self.mixes),
            bases=self.bases,
            policy=policies[self.policy],
            metrics=self.metrics and tuple(rooted_metric(name, self.folder) for name in self.metrics),
            decoding=Decoding(**self.decoding.model_dump()),
            encoder=self.encoder,
            judge=JudgeRequest(**self.judge.model_dump()) if self.judge else None,
            budget_usd=self.budget_usd,
            allow_overlap=self.allow_overlap,
            again=again,
            notes=self.notes,
        )

    def syntheses(self, *, again: bool = False) -> list[SynthesisRequest]:
        """Return what must be made before the recipe's jobs can be planned, in order.

        Args:
            again: Make new rows even if the same ones exist.
        """
        return [one.request(self.folder, encoder=self.encoder, again=again) for one in self.synthesis]

    def _source(self, source: str | None) -> str | None:
        if source is None or source.startswith(_NAMED_SOURCES):
            return source
        if source.startswith(SYNTHESIS):
            return made_file(source, self.synthesis, self.folder)
        return str((self.folder / Path(source).expanduser()).resolve())

    def _mix(self, mix: RecipeMix) -> MixRequest:
        real, synthetic = self._source(mix.real) or "", self._source(mix.synthetic) or ""
        values: dict[str, Any] = {**mix.model_dump(), "real": real, "synthetic": synthetic}
        return MixRequest(**values)

    def _unmixed(self, tunings: Sequence[TuneRequest]) -> list[Problem]:
        """Return a problem for each mix that is named and not defined, or defined twice."""
        names = [f"{MIX}{mix.name}" for mix in self.mixes]
        known = ", ".join(names) or "none"
        wanted = dict.fromkeys(tuning.train for tuning in tunings if tuning.train.startswith(MIX))
        missing = [name for name in wanted if name not in names]
        twice = sorted({name for name in names if names.count(name) > 1})
        return [
            *(Problem(where="train", what=f"no mix is called {name!r}", fix=f"known: {known}") for name in missing),
            *(Problem(where="mixes", what=f"{name!r} is defined twice", fix="rename one") for name in twice),
        ]

    def _model(
        self, index: int, model: RecipeModel, policies: Mapping[str, PromptPolicy], problems: list[Problem]
    ) -> ModelRequest:
        where = f"models[{index + 1}].policies"
        problems += [_no_policy(where, name, policies) for name in model.policies if name not in policies]
        return ModelRequest(
            provider=model.provider,
            model=model.model,
            adapter=model.adapter,
            precision=model.precision,
            policies=tuple(policies[name] for name in model.policies if name in policies),
            label=model.label,
        )

    def _jobs(self, index: int, job: RecipeJob, problems: list[Problem]) -> list[TuneRequest]:
        train = self._source(job.train or self.train or next(map(str, job.grid.get("train", ())), None))
        if train is None:
            problems.append(Problem(where=f"jobs[{index + 1}]", what="no training rows", fix='train = "FILE.jsonl"'))
            return []
        fixed = {**job.hyperparameters, **(job.model_extra or {})}
        return [self._tuning(job, train, {**fixed, **point}, point) for point in _points(job.grid)]

    def _tuning(self, job: RecipeJob, train: str, values: Mapping[str, Any], point: Mapping[str, Any]) -> TuneRequest:
        varied = ", ".join(f"{name}={value}" for name, value in point.items())
        own = {name: values[name] for name in values if name in _OWN}
        model = own.get("model", job.model)
        return TuneRequest(
            provider=job.provider,
            train=self._source(own["train"]) or train if "train" in own else train,
            model=model,
            method=job.method,
            parameters={name: _value(value) for name, value in values.items() if name not in _OWN},
            seed=int(own.get("seed", job.seed)),
            suffix=job.suffix,
            metadata=job.metadata,
            label=" ".join(part for part in (job.label, varied) if part),
            priority=job.priority,
        )


_SECTIONS: dict[str, type[BaseModel]] = {
    "decoding": RecipeDecoding,
    "judge": RecipeJudge,
    "mixes": RecipeMix,
    "models": RecipeModel,
    "policies": RecipePolicy,
}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file.

    Returns:
        The recipe; its relative paths begin at the file's folder.

    Raises:
        SpecError: The file is missing, is not TOML, or has keys or values that a recipe does not know.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "broker run RECIPE.toml; examples/ has some"
        raise SpecError([Problem(where=str(path), what=f"cannot be read: {error.strerror}", fix=fix)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError([Problem(where=str(path), what=f"is not TOML: {error}", fix="see examples/*.toml")]) from error
    try:
        return Recipe.model_validate({**data, "folder": path.parent})
    except ValidationError as error:
        problems = [
            Problem(
                where=f"{path} {'.'.join(str(part) for part in item['loc'])}",
                what=f"{item['msg']} (found {_shown(item['input'])})",
                fix=_fix(item["type"], item["loc"]),
            )
            for item in error.errors()
        ]
        raise SpecError(problems) from error


def _fix(kind: str, place: tuple[int | str, ...]) -> str:
    """Return how to mend what stands at a place of the file."""
    section, key = place[0], str(place[-1])
    if section == "mixes" and key in ("ratio", "ratios"):
        return 'ratio = "300:200"; for several ratios write several [[mixes]], and name each in train of [jobs.grid]'
    known = (_SECTIONS.get(str(section), Recipe) if len(place) > 1 else Recipe).model_fields
    near = difflib.get_close_matches(key, known, n=1) if kind == "extra_forbidden" else []
    return f"did you mean {near[0]}? see docs/recipes.md" if near else "see docs/recipes.md"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _no_policy(where: str, name: str, policies: Mapping[str, PromptPolicy]) -> Problem:
    return Problem(
        where=where, what=f"no policy is called {name!r}", fix=f"known: {', '.join(policies)}; add [[policies]]"
    )


def _points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _value(value: Any) -> ParameterValue:
    return tuple(str(item) for item in cast("list[object]", value)) if isinstance(value, list) else value
