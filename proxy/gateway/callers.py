"""Who asks: bearer tokens and their roles.

A role other than the path's is told so; a token that is not one of ours is told nothing. Both
leave a record, and so does the first request of a token on a connection.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
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
    token: str = field(repr=False)

    def is_allowed_still(self, parts: Parts, purpose: str | None) -> bool:
        """Whether the token is still the tool's, and the purpose: a request may wait for long."""
        known = _known(parts, self.token)
        if known is None or known[0].id != self.credential.id:
            return False
        tool = known[1]
        return tool is not None and (purpose is None or purpose in tool.purposes)

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


def no_longer_allowed() -> Refused:
    return Refused(
        Reason.PURPOSE_NOT_ALLOWED, "the tool may not ask this any more: its rights have changed"
    )


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
    known = _known(parts, token)
    if known is None:
        credential = parts.tokens.credential_of_token(token)
        await _record_login(parts, client, credential, Reason.WRONG_CREDENTIAL)
        raise _wrong_credential("this token is not known")
    credential, tool = known
    if credential.id not in logins:
        await _record_login(parts, client, credential, None)
        if len(logins) < _LOGINS_REMEMBERED_MAX:
            logins.add(credential.id)
    caller = Caller(credential=credential, client=client, tool=tool, token=token)
    if credential.role not in roles:
        refused = Refused(
            Reason.ROLE_NOT_ALLOWED,
            f"a credential of role {credential.role} can not be used here",
            hint=f"This path is for: {', '.join(sorted(roles))}.",
        )
        raise await refusal(parts, caller.asker(parts), refused)
    return caller


def _known(parts: Parts, token: str) -> tuple[Credential, ToolLogin | None] | None:
    """Whose token it is; None where it is nobody's, or a tool's that may not come in."""
    credential = parts.tokens.credential_of_token(token)
    if credential is None:
        return None
    if credential.role != "tool":
        return credential, None
    tool = parts.tokens.tool_of(credential.name)
    return None if tool is None or tool.is_disabled else (credential, tool)


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
