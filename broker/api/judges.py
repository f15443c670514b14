"""The model that judges: who it is, what it will be asked, what that will cost."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from broker.api.request import JudgeRequest
from broker.errors import Problem
from broker.evaluation.judging.prompts import rubric_messages
from broker.evaluation.judging.scores import NO_JUDGE, NO_JUDGE_FIX, RubricJudge
from broker.evaluation.metrics import MetricContext, open_metric
from broker.evaluation.rubrics import find_rubric, shipped
from broker.jobs.datasets.tokens import estimate_tokens
from broker.jobs.spec import JudgeSpec, ModelRef
from broker.providers.contract import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.metrics import Metric
    from broker.jobs.spec import EvaluateSpec, Rubric
    from broker.providers.accounts import Accounts
    from broker.settings import Settings

_SAMPLES = 3
_TEMPERATURE = 1.0
# Tokens of a reply: a number and one sentence. A judge that thinks aloud takes more.
_REPLY_LOW, _REPLY_HIGH = 40, 160
# Replies that must be asked for a second time, at most, as a share.
_AGAIN = 0.1
# Tokens of what a metric of somebody else's asks a judge, beside the question and the answer.
_OWN_PROMPT = 400
_JUDGE = "judge:"
# `openai@http://127.0.0.1:8100/v1:MODEL` has colons of its own.
_NAMED = re.compile(r"(?P<provider>[^:@]+(?:@https?://[^/\s]+(?:/[^:\s]*)?)?)(?::(?P<model>.+))?")


def named_judge(text: str | None, samples: int | None = None) -> JudgeRequest | None:
    """Return what `--judge PROVIDER:MODEL` and `--judge-samples N` ask for.

    Args:
        text: As typed, or `URL#MODEL`; without a model the account's default is meant.
        samples: Judgements of each answer.
    """
    if not text:
        return None if samples is None else JudgeRequest(samples=samples)
    if text.startswith(("http://", "https://")):  # as `broker eval` names a server: no key goes there
        address, _, model = text.partition("#")
        return JudgeRequest(provider=address.rstrip("/"), model=model or None, samples=samples)
    found = _NAMED.fullmatch(text)
    if found is None:
        return JudgeRequest(provider=text, samples=samples)
    return JudgeRequest(provider=found["provider"], model=found["model"], samples=samples)


def judging(
    names: Sequence[str], asked: JudgeRequest | None, settings: Settings, accounts: Accounts
) -> tuple[tuple[str, ...], JudgeSpec | None, list[Problem]]:
    """Return metrics by their lasting names, and the judge that they need, with the rubrics read from files.

    Args:
        names: Metrics as asked for; `judge:FILE.toml` becomes `judge:NAME`.
        asked: The judge as asked for.
        settings: Hold the judge that is meant when none is named.
        accounts: The providers.

    Returns:
        The metrics, the judge (None where no metric needs one), and what stands against it.

    Raises:
        UnknownNameError: A metric is unknown.
        SpecError: A rubric is wrong.
    """
    metrics = [open_metric(name, MetricContext()) for name in names]
    lasting = tuple(
        metric.name if isinstance(metric, RubricJudge) else name for name, metric in zip(names, metrics, strict=True)
    )
    if not any("judge" in metric.needs for metric in metrics):
        return lasting, None, []
    rubrics = _rubrics(names, metrics)
    twice = [name for name, times in Counter(lasting).items() if times > 1 and name.startswith("judge:")]
    problems = [
        Problem(where=f"metric {name}", what="two rubrics have this name", fix="rename one of them") for name in twice
    ]
    spec, more = judge_spec(asked, settings, accounts, rubrics)
    return lasting, spec, [*problems, *more]


def judge_spec(
    asked: JudgeRequest | None, settings: Settings, accounts: Accounts, rubrics: Sequence[Rubric] = ()
) -> tuple[JudgeSpec | None, list[Problem]]:
    """Return the judge, pinned, and what stands against asking it.

    Args:
        asked: As asked for; what it leaves open comes from the settings.
        settings: Hold the judge that is meant when none is named.
        accounts: The providers.
        rubrics: Those that do not come with the broker.
    """
    wanted, usual = asked or JudgeRequest(), settings.defaults.judge
    name = wanted.provider or (usual.provider if usual else None)
    if name is None:
        return None, [Problem(where="--judge", what=NO_JUDGE, fix=NO_JUDGE_FIX)]
    provider = accounts.get(name)
    usual_model = usual.model if usual and wanted.provider in (None, usual.provider) else None
    model = wanted.model or usual_model or settings.account(name).model or provider.capabilities.default_model
    pinned = ModelRef(provider=name, name=provider.pin(model))
    problems = list(provider.check_model(pinned))
    if not provider.capabilities.completer:
        problems.append(Problem(where="--judge", what=f"{name} cannot answer", fix="name another account"))
    temperature = wanted.temperature if wanted.temperature is not None or usual is None else usual.temperature
    spec = JudgeSpec(
        provider=name,
        model=pinned.name,
        samples=wanted.samples or (usual.samples if usual else _SAMPLES),
        temperature=temperature if temperature is not None else _TEMPERATURE,
        rubrics=tuple(rubrics),
    )
    return spec, problems


def estimate_judge(spec: EvaluateSpec, answer_tokens: int, accounts: Accounts) -> tuple[Estimate, bool]:
    """Return what judging the answers of an evaluation will cost, and whether it costs money at all.

    Args:
        spec: The evaluation, with its judge.
        answer_tokens: Tokens of all answers together.
        accounts: The providers.
    """
    if spec.judge is None:
        return Estimate(), False
    judge, rows = spec.judge, spec.validation.rows
    metrics = [name for name in spec.metrics if _is_judged(name)]
    overhead = sum(_overhead(name, judge) for name in metrics) * rows
    once = overhead + len(metrics) * (spec.validation.tokens + answer_tokens)
    return price(judge, once * judge.samples, len(metrics) * rows * judge.samples, accounts)


def price(judge: JudgeSpec, input_tokens: int, judgements: int, accounts: Accounts) -> tuple[Estimate, bool]:
    """Return what judgements will cost, and whether they cost money at all.

    Args:
        judge: Who judges.
        input_tokens: Of all that it is asked.
        judgements: How many.
        accounts: The providers.
    """
    provider = accounts.get(judge.provider)
    model = ModelRef(provider=judge.provider, name=judge.model)
    low = provider.estimate_answers(model, input_tokens, judgements * _REPLY_LOW)
    more = 1 + _AGAIN
    high = provider.estimate_answers(model, round(input_tokens * more), round(judgements * _REPLY_HIGH * more))
    basis = (f"judge {judge.label}: {judgements:,} judgements", *high.basis)
    paid = provider.capabilities.paid and high.high_usd > 0
    return Estimate(low_usd=low.low_usd, high_usd=high.high_usd, basis=basis), paid


def _rubrics(names: Sequence[str], metrics: Sequence[Metric]) -> list[Rubric]:
    """Return the rubrics that were read from files."""
    pairs = zip(names, metrics, strict=True)
    judged = [(name, metric.rubric) for name, metric in pairs if isinstance(metric, RubricJudge)]
    return [rubric for name, rubric in judged if name.removeprefix(_JUDGE) not in shipped()]


def _is_judged(name: str) -> bool:
    return name.startswith(_JUDGE) or "judge" in open_metric(name, MetricContext()).needs


def _overhead(name: str, judge: JudgeSpec) -> int:
    """Return the tokens of what a metric asks a judge, beside the question and the answer."""
    if not name.startswith(_JUDGE):
        return _OWN_PROMPT
    rubric = find_rubric(name.removeprefix(_JUDGE), judge.rubrics)
    messages, _ = rubric_messages(rubric, [{"role": "user", "content": ""}], "")
    return sum(estimate_tokens(str(message["content"])) for message in messages)
