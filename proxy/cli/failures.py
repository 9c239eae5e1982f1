"""What ends a command: an exit code, and one message without a traceback for a user's mistake.

0 done or yes · 1 no (a failed test, an error in a policy, something refused) · 2 usage or
configuration. What is not listed here is a mistake of ours and keeps its traceback.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperGroup

from proxy.consent.errors import (
    ConsentError,
    ImportRefused,
    InvalidRequest,
    LedgerNotPrepared,
    LedgerUnavailable,
)
from proxy.errors import ConfigurationError, Refused, UpstreamProtocolError
from proxy.policy.problem import PolicyErrors

DONE: Final = 0
NO: Final = 1
MISUSED: Final = 2

# Not a no of the ledger's: the command, the file or the database is not as it should be.
_NOT_READY: Final = (LedgerNotPrepared, LedgerUnavailable, ImportRefused)


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said on standard error, and the exit code."""

    message: str
    exit_code: int


def failure_of(error: Exception) -> Failure | None:
    """How a foreseen error is told; None for a mistake of ours."""
    match error:
        case ConfigurationError():
            return Failure(str(error), MISUSED)
        case PolicyErrors():
            return Failure(str(error), NO)
        case Refused():
            hint = f"\n{error.hint}" if error.hint else ""
            return Failure(f"{error.message} (reason: {error.reason}){hint}", NO)
        case ConsentError():
            is_misuse = isinstance(error, _NOT_READY) or type(error) is InvalidRequest
            exit_code = MISUSED if is_misuse else NO
            return Failure(f"{error.message} (reason: {error.reason})", exit_code)
        case UpstreamProtocolError():
            return Failure(f"the database answered what it should not: {error}", MISUSED)
        case TimeoutError():
            return Failure("the database does not answer in time", MISUSED)
        case UnicodeDecodeError():
            return Failure("the file is not UTF-8", MISUSED)
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return Failure(f"{named}{error.strerror or error}", MISUSED)
        case _:
            return _library_failure(error)


def _library_failure(error: Exception) -> Failure | None:
    """Errors of modules that only some commands import."""
    if (asyncpg := sys.modules.get("asyncpg")) is not None and isinstance(
        error, asyncpg.PostgresError | asyncpg.InterfaceError
    ):
        return Failure(f"the database refuses: {error}", MISUSED)
    segments = sys.modules.get("proxy.access_log.segments")
    if segments is not None and isinstance(error, segments.LogSealed):
        return Failure(f"the access log takes no record: {error}", MISUSED)
    return None


def tell(message: str) -> None:
    """One message on standard error, as it is: never wrapped, never read as markup."""
    print(f"consent-proxy: {message}", file=sys.stderr)


class Commands(TyperGroup):
    """The root of all commands: where a foreseen error becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, BrokenPipeError):
            raise
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            tell(failure.message)
            raise typer.Exit(failure.exit_code) from None
