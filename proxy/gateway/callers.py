"""Who asks: bearer tokens and their roles.

A role other than the path's is told so; a token that is not one of ours is told nothing. Both
leave a record, and so does the first request of a token on a connection.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiohttp.web import BaseRequest

from proxy.access_log.record import Asker, PurposeFrom
from proxy.errors import Reason, Refused
from proxy.gateway.problem import Problem, of_refusal
from proxy.gateway.requests import client_address
from proxy.gateway.services import Parts
from proxy.rewrite.plan import Plan
from proxy.secrets import Credential, Role
from proxy.session.services import ToolLogin

# Withdrawals must be taken, and a broken proxy be seen, while the access log takes nothing: what
# these two do is recorded elsewhere (the ledger) or reads nothing.
_WORK_WITHOUT_LOG: Final[frozenset[Role]] = frozenset({"consent", "metrics"})
# One connection may show many tokens; beyond these, each request is recorded as a login.
_LOGINS_REMEMBERED_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose request it is. `tool` is there for the role `tool`, and only for it."""

    credential: Credential
    client: str
    tool: ToolLogin | None

    @property
    def as_tool(self) -> ToolLogin:
        """The tool, on paths that only tools reach."""
        if self.tool is None:
            raise Refused(Reason.ROLE_NOT_ALLOWED, "this is for tools")
        return self.tool

    def asker(
        self,
        parts: Parts,
        purpose: str | None = None,
        purpose_from: PurposeFrom | None = None,
    ) -> Asker:
        return parts.recorder.asker(self.credential, self.client, purpose, purpose_from)


async def authenticate(
    request: BaseRequest, parts: Parts, roles: Collection[Role], logins: set[str]
) -> Caller:
    """The caller, whose role is one of `roles`. Raises Problem (401, 403, 503).

    `logins` are the credentials already recorded on this connection.
    """
    client = client_address(request)
    token = _bearer_token(request)
    if token is None:
        raise _wrong_credential("a bearer token is needed")
    credential = parts.tokens.credential_of_token(token)
    tool = None
    if credential is not None and credential.role == "tool":
        tool = parts.tokens.tool_of(credential.name)
    is_known = credential is not None and (
        credential.role != "tool" or (tool is not None and not tool.is_disabled)
    )
    if credential is None or not is_known:
        await _record_login(parts, client, credential, Reason.WRONG_CREDENTIAL)
        raise _wrong_credential("this token is not known")
    if credential.id not in logins:
        await _record_login(parts, client, credential, None)
        if len(logins) < _LOGINS_REMEMBERED_MAX:
            logins.add(credential.id)
    caller = Caller(credential=credential, client=client, tool=tool)
    if credential.role not in roles:
        refused = Refused(
            Reason.ROLE_NOT_ALLOWED,
            f"a credential of role {credential.role} can not be used here",
            hint=f"This path is for: {', '.join(sorted(roles))}.",
        )
        raise await refusal(parts, caller.asker(parts), refused)
    return caller


async def refusal(
    parts: Parts, asker: Asker, refused: Refused, plan: Plan | None = None
) -> Problem:
    """The answer to a refused request; its record is durable when this returns."""
    try:
        access_id = await parts.recorder.refuse(asker, refused, plan)
    except Refused as unavailable:
        return of_refusal(unavailable, None)
    return of_refusal(refused, access_id)


async def _record_login(
    parts: Parts, client: str, credential: Credential | None, reason: Reason | None
) -> None:
    try:
        await parts.recorder.login(
            client,
            tool=credential.name if credential else None,
            credential=credential.id if credential else None,
            reason=reason,
        )
    except Refused as unavailable:
        if credential is None or credential.role not in _WORK_WITHOUT_LOG:
            raise of_refusal(unavailable, None) from None


def _bearer_token(request: BaseRequest) -> str | None:
    values = request.headers.getall("Authorization", [])
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _wrong_credential(message: str) -> Problem:
    problem = of_refusal(
        Refused(Reason.WRONG_CREDENTIAL, message, hint="Authorization: Bearer TOKEN"), None
    )
    problem.headers["WWW-Authenticate"] = 'Bearer realm="consent-proxy"'
    problem.is_last = True
    return problem
