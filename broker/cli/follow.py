"""Shows jobs while they work: bars on a terminal, one line a change elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from broker.cli.output import OUT
from broker.cli.words import STATE_STYLE, job_title
from broker.jobs.records import Event, EventKind, Job
from broker.jobs.states import TERMINAL, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.progress import TaskID

    from broker.api import Broker


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
    view = _Bars(jobs) if OUT.notes.is_terminal and not OUT.json else _Lines(jobs)
    with view:
        async for event in broker.watch(ids, after=after):
            view.show(event)
    return [await broker.job(job_id) for job_id in ids]


class Steps:
    """A bar for each long step that is no job (an upload, the making of the sandbox)."""

    def __init__(self) -> None:
        """Begin without steps."""
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def report(self, text: str, done: int, total: int) -> None:
        """Show that a step is so far.

        Args:
            text: What is done.
            done: How much of it.
            total: How much there is.
        """
        if OUT.json or not OUT.notes.is_terminal:
            if text not in self._tasks:
                self._tasks[text] = -1  # type: ignore[assignment]
                OUT.notes.print(f"{text} …", highlight=False)
            return
        if self._progress is None:
            self._progress = _progress()
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
    def __init__(self, jobs: Sequence[Job]) -> None:
        self._progress = _progress()
        self._tasks = {job.id: self._progress.add_task(job_title(job), total=None, info="queued") for job in jobs}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        task = self._tasks.get(event.job_id)
        if task is None:
            return
        if event.kind is EventKind.PROGRESS:
            done, total, info = progress_words(event.data)
            self._progress.update(task, completed=done, total=total, info=info)
        elif event.kind is EventKind.STATE:
            self._state(task, event)
        elif event.kind is EventKind.LOG:
            self._progress.console.print(f"  {event.job_id}: {event.data.get('message', '')}", markup=False)

    def _state(self, task: TaskID, event: Event) -> None:
        state = State(event.data["to"])
        info = f"[{STATE_STYLE[state]}]{state}[/]"
        bar = next(item for item in self._progress.tasks if item.id == task)
        if state is State.SUCCEEDED:
            total = bar.total or 1
            self._progress.update(task, completed=total, total=total, info=info)
        else:
            self._progress.update(task, info=info)
        if state in TERMINAL:
            self._progress.stop_task(task)


class _Lines:
    """For logs and pipes: a line for each change of state, and now and then one for progress."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._titles = {job.id: job_title(job) for job in jobs}
        self._last: dict[str, int] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

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
        OUT.notes.print(f"{event.at:%H:%M:%S} {self._titles[event.job_id]}: {text}", markup=False, highlight=False)


def progress_words(data: Mapping[str, Any]) -> tuple[int, int, str]:
    """Return (done, total, words) of a progress event."""
    if "rows" in data:
        failed = f"{data['failed']} failed" if data.get("failed") else ""
        return int(data["rows"]), int(data.get("total_rows") or 0), f"answers {failed}".rstrip()
    words = [f"{name} {data[key]:.3g}" for key, name in _SHOWN.items() if isinstance(data.get(key), int | float)]
    return int(data.get("step") or 0), int(data.get("total_steps") or 0), " · ".join(words)


_SHOWN = {"loss": "loss", "learning_rate": "lr", "tokens_per_s": "tokens/s"}


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[info]}"),
        TimeElapsedColumn(),
        console=OUT.notes,
        expand=True,
    )
