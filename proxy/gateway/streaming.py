"""One result on its way from the upstream to an HTTP client.

Nothing leaves before the intent is durable. Until the first byte has left, whatever fails is an
HTTP error with its status; after it, the result ends as its form ends a broken one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from proxy.access_log.record import State
from proxy.errors import Reason, Refused, UpstreamProtocolError
from proxy.gateway.answers import SECURITY_HEADERS
from proxy.gateway.callers import no_longer_allowed
from proxy.gateway.conversation import ROW_BYTES_MAX, Conversation, DatabaseError, RowTooLarge
from proxy.gateway.parameters import parameter_texts
from proxy.gateway.problem import Problem, of_database_error, of_refusal
from proxy.gateway.protocol import is_client_gone
from proxy.gateway.recording import Access
from proxy.gateway.results import Column, Form, content_type, form_of
from proxy.gateway.services import Parts
from proxy.rewrite.plan import Plan
from proxy.session.errors import Place, reach, shown_error

# Small results leave in one piece; larger ones in pieces of about this size.
_PIECE_BYTES: Final = 32 * 1024


class Streaming:
    """Runs one statement and sends its rows; `finish` ends the answer when nothing is leased."""

    def __init__(
        self,
        request: BaseRequest,
        parts: Parts,
        media: str,
        access: Access,
        is_allowed: Callable[[], bool],
    ) -> None:
        """`is_allowed`: whether the caller still may; asked again and again."""
        self._is_allowed = is_allowed
        self._request = request
        self._parts = parts
        self._media = media
        self._access = access
        self._form: Form | None = None
        self._response: StreamResponse | None = None
        self._pending = bytearray()  # made but not sent
        self._problem: Problem | None = None
        self._sqlstate: str | None = None

    async def run(
        self,
        conversation: Conversation,
        settings: str,
        plan: Plan,
        values: Sequence[object],
        text: str,
    ) -> None:
        """Run `plan` and send all but the end of its result. What fails is kept for `finish`.

        `text` is the tool's own.
        """
        access = self._access
        access.sent_at = time.monotonic()
        try:
            async with asyncio.timeout(self._parts.statement_s):
                form = await self._start(conversation, settings, plan, values)
                await self._send_rows(conversation, form)
        except asyncio.CancelledError:
            self._conclude_cancelled()
            raise
        except ConnectionError:
            self._parts.recorder.conclude(access, "client_gone")
            raise
        except (
            DatabaseError,
            Problem,
            Refused,
            RowTooLarge,
            TimeoutError,
            UpstreamProtocolError,
        ) as error:
            self._problem, self._sqlstate = _problem_of(error, access.id, plan, text)
        except BaseException:
            self._parts.recorder.conclude(access, "error", "XX000")
            raise

    async def finish(self) -> StreamResponse:
        """End the answer. Raises Problem where nothing of it has left."""
        try:
            return await self._end(self._access)
        except asyncio.CancelledError:
            self._conclude_cancelled()
            raise
        except ConnectionError:
            self._parts.recorder.conclude(self._access, "client_gone")
            raise

    # --- steps ---

    async def _start(
        self, conversation: Conversation, settings: str, plan: Plan, values: Sequence[object]
    ) -> Form:
        parts = self._parts
        described = await conversation.describe(settings, plan.text)
        types = await parts.column_types.of(conversation, described.columns, parts.planner.revision)
        columns = [
            Column(name, kind) for (name, _, _), kind in zip(described.columns, types, strict=True)
        ]
        if len(values) != len(described.parameters):
            raise Problem(400, "invalid_request", "the statement has other parameters")
        texts = parameter_texts(values, described.parameters)
        form = self._form = form_of(self._media, columns, self._access.id)
        self._pending += form.begin()
        conversation.execute(texts)
        return form

    async def _send_rows(self, conversation: Conversation, form: Form) -> None:
        access = self._access
        while (rows := await conversation.rows()) is not None:
            if not self._is_allowed():
                # As a session at the other door is ended.
                raise no_longer_allowed()
            access.rows += len(rows)
            self._pending += form.rows(rows)
            # What is ready is sent at once where the upstream takes its time for more.
            if len(self._pending) >= _PIECE_BYTES or not conversation.has_more:
                await self._send_pending(access)
            else:
                await asyncio.sleep(0)  # others have their turn between two parts
        self._pending += form.end(access.rows)
        await self._parts.recorder.release(access)

    async def _send_pending(self, access: Access) -> None:
        response = await self._prepared(access)
        piece = bytes(self._pending)
        self._pending.clear()
        await response.write(piece)
        access.bytes += len(piece)

    async def _prepared(self, access: Access) -> StreamResponse:
        """The response, its headers on their way: not before the record is durable."""
        if self._response is None:
            await self._parts.recorder.release(access)
            response = StreamResponse(headers=SECURITY_HEADERS)
            response.headers["Content-Type"] = content_type(self._media)
            if access.id is not None:
                response.headers["Access-Id"] = access.id
            response.enable_chunked_encoding()
            await response.prepare(self._request)
            self._response = response
        return self._response

    async def _end(self, access: Access) -> StreamResponse:
        problem = self._problem
        if problem is None:
            response = await self._prepared(access)
            access.bytes += len(self._pending)
            await response.write_eof(bytes(self._pending))
            self._parts.recorder.conclude(access, "complete")
            return response
        # Counted all the same: a record may say more than what left, never less.
        self._pending.clear()
        self._parts.recorder.conclude(access, "error", self._sqlstate)
        if self._response is None:
            # An error counts as a result (access-log.md): its record comes first, too.
            try:
                await self._parts.recorder.release(access)
            except Refused as refused:
                raise of_refusal(refused, None) from None
            raise problem
        end = None if self._form is None else self._form.fail(problem.json())
        if end is not None:
            await self._response.write_eof(end)
        elif self._request.transport is not None:
            # Without its last chunk, no client takes this for a whole answer.
            self._request.transport.close()
        return self._response

    def _conclude_cancelled(self) -> None:
        state: State = "client_gone" if is_client_gone(self._request) else "cancelled"
        self._parts.recorder.conclude(self._access, state)


def _problem_of(
    error: BaseException, access_id: str | None, plan: Plan, text: str
) -> tuple[Problem, str]:
    """The answer, and the SQLSTATE of the outcome."""
    match error:
        case DatabaseError():
            place = Place(plan.text, text)
            fields = shown_error(error.fields, reach(plan), place, is_analysis=error.is_analysis)
            return of_database_error(fields, access_id), error.sqlstate
        case Problem():
            error.access_id = access_id
            return error, error.sqlstate or "22023"  # invalid_parameter_value
        case Refused():
            refused = error
        case TimeoutError():
            refused = Refused(
                Reason.TOO_SLOW,
                "the statement took too long",
                hint="Ask for less at once.",
            )
        case RowTooLarge():
            message = f"a row has more than {ROW_BYTES_MAX} bytes"
            problem = Problem(
                400,
                "row_too_large",
                message,
                sqlstate="54000",
                hint="Large values need the PostgreSQL protocol.",
                access_id=access_id,
            )
            return problem, "54000"
        case _:
            refused = Refused(
                Reason.UPSTREAM_UNAVAILABLE,
                "the connection to the database was lost",
                hint="Try again later.",
            )
    return of_refusal(refused, access_id), refused.sqlstate
