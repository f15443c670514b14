"""Every error that the broker raises on purpose.

```
BrokerError
├── UserError                    what was asked for cannot be done as asked      exit 2
│   ├── ProblemsError (ValueError)   a list of `Problem`s, all at once
│   │   ├── DataError                rows or files
│   │   └── SpecError                parameters of a job, a recipe, the settings
│   ├── UnknownNameError (LookupError)   provider, job, model, experiment, metric
│   ├── MissingExtraError (ImportError)  an optional package is not installed
│   ├── MissingCredentialError           a key or token is not set
│   └── BudgetError                      the money reserved would pass the budget     exit 5
├── ProviderError                a provider answered, or did not                 exit 3
│   ├── UnavailableError             worth trying again now or later
│   │   └── RateLimitedError         with `retry_after_s` where the provider said it
│   ├── RefusedError                 no retry mends it
│   └── OutcomeUnknownError          sent, and nobody knows whether it arrived
├── StoreError (OSError)         the store or the disk                           exit 6
│   └── LeaseLostError               somebody else drives this job now
├── WorkerError                  the torch process failed                        exit 1
├── IllegalTransitionError (ValueError)  a state cannot follow another           exit 1
└── JobFailedError               a job that was waited for did not succeed       exit 1
```

A message says what, where, the value, and the command that mends it. Messages never hold secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_PROVIDER = 3
EXIT_LOST = 4
EXIT_BUDGET = 5
EXIT_STORE = 6
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        where: The place, as `train.jsonl:17` or `--learning-rate` or `recipe.toml [jobs.2]`.
        what: What is wrong, in one sentence, with the value that was found.
        fix: What to type or change.
        severity: `error` stops the job, `warning` does not.
    """

    where: str
    what: str
    fix: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.where}: {self.what}" + (f" (fix: {self.fix})" if self.fix else "")


class BrokerError(Exception):
    """The root. `fix` is the sentence that says how to mend it; `exit_code` is the CLI's."""

    exit_code = EXIT_JOB_FAILED

    def __init__(self, message: str, *, fix: str = "", where: str = "") -> None:
        """Keep the parts apart so that the CLI can lay them out.

        Args:
            message: What went wrong.
            fix: What to do about it.
            where: File and line, flag, job or URL.
        """
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.where = where

    def __str__(self) -> str:
        """Return `where: message (fix)`."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  fix: {self.fix}" if self.fix else text


class UserError(BrokerError):
    """What was asked for cannot be done as asked."""

    exit_code = EXIT_USAGE


class ProblemsError(UserError, ValueError):
    """Several problems at once."""

    def __init__(self, problems: Sequence[Problem], *, summary: str = "") -> None:
        """Join the problems into one message, one a line.

        Args:
            problems: At least one problem.
            summary: The first line; made from the count when empty.
        """
        self.problems = tuple(problems)
        head = summary or f"{len(self.problems)} problem(s) found"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class DataError(ProblemsError):
    """Rows or files are not usable."""


class SpecError(ProblemsError):
    """A job, a recipe or the settings ask for something impossible."""


class UnknownNameError(UserError, LookupError):
    """A provider, job, model, experiment or metric that nobody knows."""


class MissingExtraError(UserError, ImportError):
    """An optional package is needed; `fix` is the pip command."""


class MissingCredentialError(UserError):
    """A key or token is needed and not set."""


class BudgetError(UserError):
    """The money reserved would pass the budget."""

    exit_code = EXIT_BUDGET


class ProviderError(BrokerError):
    """A provider answered with an error, or did not answer."""

    exit_code = EXIT_PROVIDER


class UnavailableError(ProviderError):
    """The provider cannot answer now; trying again may help."""

    def __init__(self, message: str, *, fix: str = "", where: str = "", retry_after_s: float | None = None) -> None:
        """Add when to try again.

        Args:
            message: What went wrong.
            fix: What to do about it.
            where: The URL or endpoint.
            retry_after_s: Seconds that the provider asked us to wait, if it did.
        """
        super().__init__(message, fix=fix, where=where)
        self.retry_after_s = retry_after_s


class RateLimitedError(UnavailableError):
    """The provider asks for fewer requests."""


class RefusedError(ProviderError):
    """The provider understood and said no; no retry mends it."""


class OutcomeUnknownError(ProviderError):
    """A creating call was sent and its outcome is unknown: only `find` may settle it."""


class StoreError(BrokerError, OSError):
    """The store or the disk failed; what was stored before is intact."""

    exit_code = EXIT_STORE


class LeaseLostError(StoreError):
    """Somebody else drives this job now; our writes changed nothing."""


class WorkerError(BrokerError):
    """The torch process failed; `kind` is its own word for why (`nan_loss`, `out_of_memory`, `died`, …)."""

    def __init__(self, message: str, *, kind: str = "error", fix: str = "", where: str = "") -> None:
        """Add the kind.

        Args:
            message: What went wrong.
            kind: A stable word for programs.
            fix: What to do about it.
            where: The run folder or the step.
        """
        super().__init__(message, fix=fix, where=where)
        self.kind = kind


class IllegalTransitionError(BrokerError, ValueError):
    """A state cannot follow another."""


class JobFailedError(BrokerError):
    """A job that was waited for did not succeed."""
