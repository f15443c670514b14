"""Shows jobs while they work: bars on a terminal, one line a change elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from broker.cli.output import OUT
from broker.cli.words import STATE_STYLE, dollars, job_title, spell_seconds
from broker.jobs.records import EventKind
from broker.jobs.states import TERMINAL, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from broker.api import Broker
    from broker.jobs.records import Event, Job

# A terminal with fewer columns gets no bars: the words say more.
_NARROW = 70


async def follow(broker: Broker, jobs: Sequence[Job], *, after: int = 0) -> list[Job]:
    """Show jobs until all of them rest.

    Args:
        broker: The open broker.
        jobs: The jobs.
        after: Only events with a greater `seq` are shown.

    Returns:
        The jobs as they are then.
    """
    ids = [job.id for job in jobs]
    with view_of(jobs) as view:
        async for event in broker.watch(ids, after=after):
            view.show(event)
    return [await broker.job(job_id) for job_id in ids]


class View(Protocol):
    """Something that shows events."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """Leave the terminal to others."""

    def add(self, job: Job) -> None:
        """Show this job too."""

    def show(self, event: Event) -> None:
        """Show an event."""


def view_of(jobs: Sequence[Job]) -> View:
    """Return what suits the terminal.

    Args:
        jobs: The jobs to show.
    """
    view: View = _Bars(OUT.notes) if OUT.notes.is_terminal and not OUT.json else _Lines()
    for job in jobs:
        view.add(job)
    return view


class Steps:
    """A bar for each long step that is no job (an upload, the making of the sandbox)."""

    def __init__(self) -> None:
        """Begin without steps."""
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: set[str] = set()

    def report(self, text: str, done: int, total: int) -> None:
        """Show that a step is so far.

        Args:
            text: What is done.
            done: How much of it.
            total: How much there is.
        """
        console = OUT.notes
        if OUT.json or not console.is_terminal:
            if text not in self._told:
                self._told.add(text)
                OUT.note(f"{text} …")
            return
        if self._progress is None:
            self._progress = _progress(console)
            self._progress.start()
        if text not in self._tasks:
            self._tasks[text] = self._progress.add_task(text, total=total, info="")
        self._progress.update(self._tasks[text], completed=done, total=total)
        if all(task.finished for task in self._progress.tasks):
            self.close()

    def close(self) -> None:
        """Leave the terminal to others."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()


class _Bars:
    def __init__(self, console: Console) -> None:
        self._progress = _progress(console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, job: Job) -> None:
        self._tasks[job.id] = self._progress.add_task(job_title(job), total=None, info=_styled(job.state))

    def show(self, event: Event) -> None:
        task = self._tasks.get(event.job_id)
        if task is None:
            return
        if event.kind is EventKind.PROGRESS:
            done, total, info = progress_words(event.data)
            if self._progress.console.width < _NARROW and total:
                info = f"{done}/{total} {info}"
            self._progress.update(task, completed=done, total=total or None, info=info)
        elif event.kind is EventKind.STATE:
            self._state(task, State(event.data["to"]))
        elif event.kind is EventKind.LOG:
            self._progress.console.print(f"  {event.job_id}: {event.data.get('message', '')}", markup=False)

    def _state(self, task: TaskID, state: State) -> None:
        bar = next(item for item in self._progress.tasks if item.id == task)
        if state is State.SUCCEEDED:
            total = bar.total or 1
            self._progress.update(task, completed=total, total=total)
        self._progress.update(task, info=_styled(state))
        if state in TERMINAL:
            self._progress.stop_task(task)


class _Lines:
    """For logs and pipes: a line for each change of state, and now and then one for progress."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, job: Job) -> None:
        self._titles[job.id] = f"{job.id} {job_title(job)}"

    def show(self, event: Event) -> None:
        if event.job_id not in self._titles:
            return
        if event.kind is EventKind.STATE:
            why = event.data.get("why", "")
            self._say(event, f"{event.data['to']}" + (f": {why}" if why else ""))
        elif event.kind is EventKind.PROGRESS:
            self._progress(event)
        elif event.kind is EventKind.LOG:
            self._say(event, str(event.data.get("message", "")))

    def _progress(self, event: Event) -> None:
        done, total, info = progress_words(event.data)
        tenth = int(10 * done / total) if total else 0
        if tenth != self._last.get(event.job_id):
            self._last[event.job_id] = tenth
            self._say(event, f"{done}/{total} {info}")

    def _say(self, event: Event, text: str) -> None:
        OUT.note(f"{event.at.astimezone():%H:%M:%S} {self._titles[event.job_id]}: {text}")


def progress_words(data: Mapping[str, Any]) -> tuple[int, int, str]:
    """Return (done, total, words) of a progress event."""
    if "requests_per_s" in data:
        return int(data["rows"]), int(data["total_rows"]), _making_words(data)
    if "rows" in data:
        if "to_judge" in data:
            return int(data["judged"]), int(data["to_judge"]), "judgements"
        failed = f"{data['failed']} failed" if data.get("failed") else ""
        return int(data["rows"]), int(data.get("total_rows") or 0), f"answers {failed}".rstrip()
    words = [f"{name} {data[key]:.3g}" for key, name in _SHOWN.items() if isinstance(data.get(key), int | float)]
    return int(data.get("step") or 0), int(data.get("total_steps") or 0), " · ".join(words)


def _making_words(data: Mapping[str, Any]) -> str:
    """Return how far a synthesis is: cost so far, pace, time left; then what a short line may cut off."""
    words = [dollars(float(data["cost_usd"]))] if data.get("cost_usd") else []
    words.append(f"{data['requests_per_s']:.3g} requests/s")
    if data.get("left_s") is not None and data["rows"] < data["total_rows"]:
        words.append(f"{spell_seconds(float(data['left_s']))} left")
    rejected: Mapping[str, int] = data.get("rejected") or {}
    if rejected:
        most = sorted(rejected.items(), key=lambda item: -item[1])
        words.append(f"rejected: {', '.join(f'{count} {reason}' for reason, count in most)}")
    if data.get("taken"):
        words.append(f"{data['taken']:,} answers of earlier jobs")
    return " · ".join(words)


_SHOWN = {"loss": "loss", "learning_rate": "lr", "tokens_per_s": "tokens/s"}


def _styled(state: State) -> str:
    return f"[{STATE_STYLE[state]}]{state}[/]"


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    what = TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, **cut))
    info = TextColumn("{task.fields[info]}", table_column=Column(ratio=3, **cut))
    if console.width < _NARROW:
        return Progress(what, info, console=console, expand=True)
    bar = BarColumn(bar_width=None, table_column=Column(ratio=1))
    return Progress(
        SpinnerColumn(), what, bar, MofNCompleteColumn(), info, TimeElapsedColumn(), console=console, expand=True
    )
