"""The demo: offline, from texts to rows to tuned models and the table, each stage timed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from broker.cli import context
from broker.cli.follow import Steps, follow
from broker.cli.making import show_made
from broker.cli.outcome import tell_failures
from broker.cli.output import OUT
from broker.cli.results import show_table, write_page
from broker.cli.words import spell_seconds
from broker.errors import EXIT_INTERRUPTED, BrokerError
from broker.jobs.blocking import blocking

if TYPE_CHECKING:
    from broker.api import Broker, ExperimentRequest, SynthesisRequest

SANDBOX = "sandbox"
SERVED = "served"
# The paper's settings, but for the learning rate: the highest that it tried suits so small a model.
LEARNING_RATE = 1e-3
METRICS = ("conversational", "flesch", "similarity")
SECTIONS, TRAIN_ROWS, VALIDATION_ROWS = 400, 100, 100


class Stopwatch:
    """Times the stages of the demo."""

    def __init__(self) -> None:
        """Begin now."""
        self._begun = time.monotonic()
        self.stages: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time one stage."""
        begun = time.monotonic()
        OUT.notes.rule(f"[bold]{name}", align="left", style="dim")
        yield
        self.stages.append((name, time.monotonic() - begun))

    def tell(self) -> None:
        """Print the times."""
        for name, seconds in self.stages:
            OUT.notes.print(f"  {spell_seconds(seconds):>10}  {name}", highlight=False)
        OUT.notes.print(
            f"  {spell_seconds(time.monotonic() - self._begun):>10}  together", style="bold", highlight=False
        )


def run_demo(folder: Path | None) -> int:
    """Run the demo.

    Args:
        folder: Where it works; a new folder under the data folder when None.

    Returns:
        The exit code.
    """
    from broker.settings import locate

    place = folder or _new_folder(locate(config=context.STATE.config, overrides=context.STATE.overrides).data_dir)
    context.STATE.overrides["data_dir"] = place
    with _server(place / "server") as base_url:
        account = {"kind": "openai", "base_url": base_url, "api_key": "demo", "poll_s": 1.0}
        context.STATE.overrides["providers"] = {SERVED: account}
        return _run(place)


def _run(place: Path) -> int:
    watch, steps = Stopwatch(), Steps()

    async def work(broker: Broker) -> int:
        with watch.stage("1. the sandbox: a tiny chat model and a sentence encoder, made from scratch"):
            await broker.build_sandbox()
            await broker.build_sandbox(encoder=True)
            steps.close()
        with watch.stage("2. synthesis: questions and easy answers from texts, gated, without near-duplicates, split"):
            made = await follow(broker, await broker.start(await broker.plan_synthesis(demo_rows(place))))
            for job in made:
                show_made(job)
            if tell_failures(made):
                return tell_failures(made)
        with watch.stage("3. tuning and judging: every model answers the same validation set"):
            plan = await broker.plan(demo_request(place))
            ended = await follow(broker, await broker.start(plan))
        with watch.stage("4. the table"):
            report = await broker.report(plan.experiment.name)
            show_table(report.table)
            page = await blocking(write_page, report)
        watch.tell()
        _what_next(place, plan.experiment.name, page)
        return tell_failures(ended)

    try:
        return context.run(work, drive=True, report=steps.report)
    except context.StoppedError:
        OUT.notes.print(f"stopped; broker --data-dir {place} watch goes on", highlight=False)
        return EXIT_INTERRUPTED
    finally:
        steps.close()


@contextmanager
def _server(data_dir: Path) -> Generator[str]:
    """Run `broker serve` beside the demo, as somebody's own service would be; yield its base URL."""
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "broker", "--data-dir", str(data_dir), "serve", "--port", "0", "--model", SANDBOX]
    with (data_dir / "server.log").open("ab") as log:
        server = subprocess.Popen([*command, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        if not said:
            raise BrokerError("broker serve did not start", where=str(data_dir / "server.log"))
        yield json.loads(said)["base_url"]
    finally:
        server.terminate()
        server.wait(timeout=60)


def demo_rows(folder: Path) -> SynthesisRequest:
    """Write the demo's source texts and return the request to make rows of them.

    Args:
        folder: Receives the texts, and the rows later.
    """
    from broker.api import SynthesisRequest
    from broker.sandbox import source_sections

    source = folder / "sections.jsonl"
    sections = source_sections(SECTIONS, seed=0, topics="all")
    source.write_text("".join(json.dumps(section) + "\n" for section in sections), encoding="utf-8")
    return SynthesisRequest(
        provider="local",
        model="sandbox-writer",
        pipeline="qa",
        source=str(source),
        rows=TRAIN_ROWS + VALIDATION_ROWS,
        output=str(folder / "rows"),
        options={"validation": VALIDATION_ROWS},
        encoder="sandbox-encoder",
        experiment="demo-rows",
    )


def demo_request(folder: Path) -> ExperimentRequest:
    """Return what the demo tunes and asks, on the rows that it has made.

    Args:
        folder: Holds the rows.
    """
    from broker.api import ExperimentRequest, TuneRequest
    from broker.jobs.spec import Decoding

    train, validation = folder / "rows" / "train.jsonl", folder / "rows" / "validation.jsonl"
    tunings = tuple(
        TuneRequest(
            provider="local",
            model=SANDBOX,
            train=str(train),
            parameters={"precision": precision, "lr": LEARNING_RATE},
        )
        for precision in ("bf16", "int8")
    )
    served = TuneRequest(
        provider=SERVED,
        model=SANDBOX,
        train=str(train),
        parameters={"n_epochs": 5, "batch_size": 32, "learning_rate_multiplier": LEARNING_RATE / 2e-4},
        label="by OpenAI's protocol",
    )
    return ExperimentRequest(
        name="demo",
        validation=str(validation),
        tunings=(*tunings, served),
        metrics=METRICS,
        encoder="sandbox-encoder",
        decoding=Decoding(max_tokens=96),
        notes={"sandbox": "a toy model whose base rate is designed in: no evidence about int8 or bf16"},
    )


def _new_folder(data_dir: Path) -> Path:
    parent = data_dir / "demo"
    parent.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(child.name) for child in parent.iterdir() if child.name.isdigit()), default=0)
    place = parent / str(number)
    place.mkdir()
    return place


def _what_next(place: Path, experiment: str, page: Path) -> None:
    option = f"--data-dir {place}"
    OUT.notes.print(
        f"\nAs a page, with figures and answers side by side: {page}\n"
        f"The table again:  broker {option} results {experiment}\n"
        f"Talk to a model:  broker {option} chat JOB   (broker {option} models lists them)\n"
        f"Your own data:    broker submit --provider local --train train.jsonl --split 0.1",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
