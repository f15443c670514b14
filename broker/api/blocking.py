"""The same broker for notebooks and scripts that are not async: a thin face, no second implementation."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from broker.api.client import Broker
from broker.errors import JobFailedError
from broker.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from broker.jobs.records import Event, Job
    from broker.results import ResultsTable
    from broker.settings import Settings


class BlockingJob:
    """A job that can be waited for.

    ```python
    with BlockingBroker() as broker:
        job = broker.submit(provider="local", model="sandbox", train="train.jsonl", validation="val.jsonl").wait()
        broker.results()
    ```
    """

    def __init__(self, broker: BlockingBroker, job: Job) -> None:
        """Bind a job to its broker.

        Args:
            broker: The open broker.
            job: The job.
        """
        self._broker = broker
        self._id = job.id
        self._experiment = job.experiment

    @property
    def id(self) -> str:
        """Return the job's id."""
        return self._id

    @property
    def record(self) -> Job:
        """Return the job as it is now."""
        record: Job = self._broker.call("job", self._id)
        return record

    @property
    def state(self) -> State:
        """Return the job's state now."""
        return self.record.state

    def wait(self, *, evaluated: bool = True) -> Self:
        """Wait until the job rests, and with `evaluated` every job of its experiment.

        Raises:
            JobFailedError: It did not succeed.
        """
        self._broker.call("wait", self._id)
        record = self.record
        if record.state is not State.SUCCEEDED:
            why = record.failure.message if record.failure else ""
            fix = record.failure.fix if record.failure else ""
            raise JobFailedError(f"the job is {record.state}: {why}", where=record.id, fix=fix)
        if evaluated:
            self._broker.call("wait", experiment=self._experiment)
        return self

    def cancel(self) -> None:
        """Ask for the job's end."""
        self._broker.call("cancel", self._id)

    def events(self) -> Iterator[Event]:
        """Yield the job's events as they come, until it rests."""
        return self._broker.iterate("watch", self._id)

    def results(self) -> ResultsTable:
        """Return the table of the job's experiment."""
        return self._broker.results(self._experiment)

    def __repr__(self) -> str:
        """Return the id and the state."""
        return f"<{self._id}: {self.state}>"


class BlockingBroker:
    """`Broker` without `await`: every method of it can be called by name."""

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        """Choose the settings.

        Args:
            settings: As in `Broker`.
            options: As in `Broker`.
        """
        self._broker = Broker(settings, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Start an event loop in a thread and open the broker in it."""
        self._portal = self._stack.enter_context(start_blocking_portal())
        opened: AbstractContextManager[Any] = self._portal.wrap_async_context_manager(self._broker)
        self._stack.enter_context(opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close the broker and the event loop."""
        return self._stack.__exit__(kind, error, trace)

    def submit(self, **request: Any) -> BlockingJob:
        """Tune one model; arguments as in `Broker.submit`."""
        return BlockingJob(self, self.call("submit", **request))

    def results(self, experiment: str | None = None) -> ResultsTable:
        """Return the table of an experiment; a notebook shows it as HTML."""
        table: ResultsTable = self.call("results", experiment)
        return table

    def jobs(self, **filters: Any) -> list[BlockingJob]:
        """Return jobs; filters as in `Store.jobs`."""
        return [BlockingJob(self, job) for job in self.call("jobs", **filters)]

    def chat(self, model: str, message: str, **options: Any) -> str:
        """Ask a model one question; arguments as in `Broker.chat`."""
        answer: str = self.call("chat", model, message, **options)
        return answer

    def run(self, recipe: str, *, again: bool = False) -> ResultsTable:
        """Run a recipe to its end and return its table."""
        plan = self.call("run", recipe, again=again)
        self.call("wait", experiment=plan.experiment.name)
        return self.results(plan.experiment.name)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a coroutine method of `Broker` and wait for its result.

        Args:
            method: Its name.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
        """
        from functools import partial

        return self._open_portal.call(partial(getattr(self._broker, method), *args, **kwargs))

    def iterate(self, method: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Iterate over an async iterator of `Broker`."""
        iterator = getattr(self._broker, method)(*args, **kwargs)
        while True:
            try:
                yield self._open_portal.call(iterator.__anext__)
            except StopAsyncIteration:
                return

    @property
    def _open_portal(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("use it as `with BlockingBroker() as broker:`")
        return self._portal
