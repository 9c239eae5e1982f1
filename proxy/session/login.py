"""From the StartupMessage to a session: who it is, for which purpose, with which settings.

No I/O. The name in the StartupMessage is nobody until SCRAM has proved it; unknown, disabled and
wrong all look alike until then, in words and in work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.access_log.record import PurposeFrom
from proxy.errors import ClientProtocolError, Reason, Refused
from proxy.passwords import ScramVerifier
from proxy.session.identifiers import quote_identifier, quote_literal
from proxy.session.services import Credentials, ToolLogin
from proxy.session.settings import Context
from proxy.upstream.carried import Settings
from proxy.wire import messages
from proxy.wire.scram import (
    MECHANISM,
    MECHANISM_PLUS,
    ScramError,
    ScramServer,
    fake_verifier,
)
from proxy.wire.startup import MINOR_MAX, StartupMessage, read_options

# For verifiers of users that do not exist: the same salt each time, while this process lives.
_FAKE_SECRET: Final = os.urandom(32)
_NONCE_BYTES: Final = 18  # as PostgreSQL's
_NOT_SETTINGS: Final = frozenset({"user", "database", "options"})
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})
# Every upstream session is UTF8; a client may say so, in whatever spelling is allowed.
_ALWAYS_SET: Final = frozenset({"client_encoding"})


class LoginFailed(Exception):  # noqa: N818 - a verdict
    """`login` is who it is, where that was proved (or is one of ours)."""

    def __init__(self, refused: Refused, login: ToolLogin | None) -> None:
        super().__init__(refused.message)
        self.refused = refused
        self.login = login


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    login: ToolLogin
    context: Context
    purpose_from: PurposeFrom
    settings: Mapping[str, str]  # what the client asked for at start-up, lower-case names
    application_name: str
    minor: int


class Login:
    """One client's login. `binding`: hash of our certificate, over TLS; else None."""

    def __init__(
        self,
        startup: StartupMessage,
        *,
        credentials: Credentials,
        check_setting: Callable[[str, str], str],
        database: str,
        binding: bytes | None,
    ) -> None:
        self._startup = startup
        self._credentials = credentials
        self._check_setting = check_setting
        self._database = database
        self._binding = binding
        self._scram: ScramServer | None = None
        self._verifier: ScramVerifier | None = None
        self.user = startup.parameters.get("user", "")
        if not self.user:
            raise LoginFailed(
                Refused(
                    Reason.WRONG_CREDENTIAL,
                    "no PostgreSQL user name specified in startup packet",
                    sqlstate="28000",
                ),
                None,
            )

    @property
    def application_name(self) -> str:
        return self._startup.parameters.get("application_name", "")

    def first(self) -> bytes:
        """What the StartupMessage is answered with."""
        answer = b""
        minor = self._startup.minor
        if minor > MINOR_MAX or self._startup.unknown:
            answer = messages.negotiate(min(minor, MINOR_MAX), self._startup.unknown)
        mechanisms = [MECHANISM] if self._binding is None else [MECHANISM_PLUS, MECHANISM]
        return answer + messages.authentication_sasl(mechanisms)

    def answer(self, message: bytes) -> tuple[bytes, LoggedIn | None]:
        """Take a SASL message: what to answer, and the login once it is complete."""
        try:
            if self._scram is None:
                return self._begin(message), None
            proof = self._scram.final(message[5:])
        except ScramError:
            raise self._wrong() from None
        if self._credentials.scram_verifier(self.user) != self._verifier:
            raise self._wrong()  # the password was changed while it was being proved
        return messages.authentication_sasl_final(proof), self._logged_in()

    def _begin(self, message: bytes) -> bytes:
        end = message.find(b"\0", 5)
        if end < 0 or len(message) < end + 5:
            raise ClientProtocolError("malformed SASLInitialResponse message")
        length = int.from_bytes(message[end + 1 : end + 5], "big", signed=True)
        data = message[end + 5 :]
        if length != len(data):
            # -1, no initial response, is not something any client of PostgreSQL sends.
            raise ClientProtocolError("malformed SASLInitialResponse message")
        verifier = self._verifier = self._credentials.scram_verifier(self.user)
        # Made for everybody, so that who exists takes no other time than who does not.
        fake = fake_verifier(self.user, _FAKE_SECRET)
        scram = ScramServer(
            message[5:end].decode("ascii", "replace"),
            verifier or fake,
            os.urandom(_NONCE_BYTES),
            self._binding,
        )
        first = scram.first(data)
        self._scram = scram
        return messages.authentication_sasl_continue(first)

    def _wrong(self) -> LoginFailed:
        return LoginFailed(
            Refused(
                Reason.WRONG_CREDENTIAL, f'password authentication failed for user "{self.user}"'
            ),
            self._credentials.tool_of(self.user),
        )

    # --- after the proof ---

    def _logged_in(self) -> LoggedIn:
        login = self._credentials.tool_of(self.user)
        if login is None or login.is_disabled:
            raise self._wrong()
        if login.role != "tool":
            raise LoginFailed(
                Refused(
                    Reason.ROLE_NOT_ALLOWED,
                    "this credential is not for running statements",
                    sqlstate="28000",
                ),
                login,
            )
        try:
            return self._choose(login)
        except Refused as refused:
            raise LoginFailed(refused, login) from None

    def _choose(self, login: ToolLogin) -> LoggedIn:
        wanted = self._wanted_settings()
        chosen: dict[str, PurposeFrom] = {}
        purpose = wanted.pop("consent.purpose", None)
        if purpose is not None:
            chosen[purpose] = "startup"
        of_database = self._purpose_of_database()
        if of_database is not None:
            chosen.setdefault(of_database, "database")
        for name in chosen:
            if name not in login.purposes or len(chosen) > 1:
                raise Refused(
                    Reason.PURPOSE_NOT_ALLOWED,
                    "this purpose is not one of the tool's own",
                    sqlstate="28000",
                )
        path = wanted.pop("search_path", None)
        settings = {name: self._check_setting(name, value) for name, value in wanted.items()}
        return LoggedIn(
            login=login,
            context=Context(
                purpose=next(iter(chosen), login.default),
                search_path=login.search_path if path is None else _path(path, login),
            ),
            purpose_from=next(iter(chosen.values()), "default"),
            settings={k: v for k, v in settings.items() if k not in _ALWAYS_SET},
            application_name=self.application_name,
            minor=min(self._startup.minor, MINOR_MAX),
        )

    def _wanted_settings(self) -> dict[str, str]:
        parameters = self._startup.parameters
        if "replication" in parameters:
            raise Refused(Reason.SETTING_NOT_ALLOWED, "replication is not offered here")
        options = read_options(parameters.get("options", ""))
        if options is None:
            raise Refused(
                Reason.SETTING_NOT_ALLOWED,
                "start-up options can only be settings",
                hint="-c name=value",
            )
        # The packet's own parameters come after the options, and win (as in PostgreSQL).
        named = ((n.lower(), v) for n, v in parameters.items() if n not in _NOT_SETTINGS)
        return dict((*options, *named))

    def _purpose_of_database(self) -> str | None:
        name = self._startup.parameters.get("database", "")
        if name in ("", self._database):
            return None
        database, at, purpose = name.rpartition("@")
        if not at or database != self._database:
            raise Refused(
                Reason.TABLE_NOT_IN_POLICY, f'database "{name}" does not exist', sqlstate="3D000"
            )
        return purpose


def _path(value: str, login: ToolLogin) -> tuple[str, ...]:
    path = tuple(name.strip().strip('"') for name in value.split(","))
    if not set(path) <= {*login.search_path, *_SYSTEM_SCHEMAS}:
        raise Refused(Reason.SETTING_NOT_ALLOWED, "search_path may name the policy's schemas only")
    if "pg_catalog" in path[1:]:
        # Another schema's operators would come before PostgreSQL's own (sql/kinds.py).
        raise Refused(
            Reason.SETTING_NOT_ALLOWED, "search_path may name pg_catalog in the first place only"
        )
    return path


def _path_text(path: tuple[str, ...]) -> str:
    return ", ".join(name if _PLAIN.fullmatch(name) else quote_identifier(name) for name in path)


def initial_settings(logged_in: LoggedIn) -> Settings:
    """What a session begins with."""
    values = dict(logged_in.settings)
    values["search_path"] = _path_text(logged_in.context.search_path)
    values["consent.purpose"] = logged_in.context.purpose or ""
    return Settings(values)


def initial_sql(logged_in: LoggedIn, setting: str) -> bytes:
    """A SELECT that gives the session its initial value of `setting` (`all`: of all); or b""."""
    values = initial_settings(logged_in).values
    wanted = values if setting == "all" else {k: v for k, v in values.items() if k == setting}
    calls = (
        f"pg_catalog.set_config({quote_literal(name)}, {quote_literal(value)}, false)"
        for name, value in wanted.items()
    )
    return ("SELECT " + ", ".join(calls)).encode() if wanted else b""


def greeting(logged_in: LoggedIn, reported: Mapping[str, str]) -> dict[str, str]:
    """The parameters that the client is told of at start-up: the upstream's, and its own wishes."""
    told = dict(reported)
    spelled = {name.lower(): name for name in reported}
    for name, value in logged_in.settings.items():
        if name in spelled:
            told[spelled[name]] = value
    if "search_path" in told:
        told["search_path"] = _path_text(logged_in.context.search_path)
    told["is_superuser"] = "off"
    told["session_authorization"] = logged_in.login.name
    return told
