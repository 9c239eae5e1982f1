"""Who may come in: the secrets file with password verifiers and hashes of tokens.

Nothing in the file lets its reader log in, and yet it is for its owner alone (mode 0600): a
verifier can be guessed against. A loaded `Secrets` is one state of the file; the methods that
change something change the file, whole or not at all, and then this object.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from proxy.errors import ConfigurationError
from proxy.passwords import ScramVerifier, make_verifier

Role = Literal["tool", "consent", "review", "metrics"]
ROLES: Final[tuple[Role, ...]] = ("tool", "consent", "review", "metrics")

# As a policy writes tools, and short enough for PostgreSQL's user names (NAMEDATALEN).
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_TOKEN: Final = re.compile(r"cp_([a-z2-7]{13})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES: Final = 32
_HEADER: Final = (
    "# Who may come in: `consent-proxy tool` writes this file. Keep it to yourself (mode 0600).\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token's public name, and SHA-256 of all of it; 256 random bits need no slow hash."""

    id: str
    sha256: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One name that may come in, and as what. `id` is how access records name it.

    It names the token where one was shown (`mailer:k3v…`), else the name with its password.
    """

    id: str
    name: str
    role: Role
    is_disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """All the file holds of one name."""

    role: Role
    is_disabled: bool = False
    verifier: ScramVerifier | None = None
    token: Token | None = None


class Secrets:
    """One state of the secrets file."""

    def __init__(self, path: Path, entries: Mapping[str, Entry]) -> None:
        self.path = path
        self._take(entries)

    def _take(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)
        self._of_token = {
            entry.token.id: (name, entry.token)
            for name, entry in self._entries.items()
            if entry.token is not None
        }

    @classmethod
    def load(cls, path: Path, *, create: bool = False) -> Self:
        """Read the file; `ConfigurationError` where it is missing, open to others or damaged.

        With `create` a missing file is an empty one, which the first change writes.
        """
        return cls(path, _read(path, create=create))

    def scram_verifier(self, name: str) -> ScramVerifier | None:
        """The verifier of a name that may log in now; None: unknown, disabled, no password."""
        entry = self._entries.get(name)
        return None if entry is None or entry.is_disabled else entry.verifier

    def credential(self, name: str) -> Credential | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        return Credential(id=name, name=name, role=entry.role, is_disabled=entry.is_disabled)

    def credential_of_token(self, token: str) -> Credential | None:
        """Whose token this is; None for every other text, and for a disabled name.

        Takes the same time whether the token's name exists or not.
        """
        match = _TOKEN.fullmatch(token)
        shown = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._of_token.get(match[1]) if match else None
        expected = known[1].sha256 if known else bytes(32)
        is_right = hmac.compare_digest(shown, expected)
        if known is None or not is_right:
            return None
        name, entry = known[0], self._entries[known[0]]
        if entry.is_disabled:
            return None
        return Credential(id=f"{name}:{known[1].id}", name=name, role=entry.role)

    def listing(self) -> tuple[tuple[str, Entry], ...]:
        """Every name with what it has, by name: for `tool list`."""
        return tuple(sorted(self._entries.items()))

    def ended_in(self, newer: Secrets) -> frozenset[str]:
        """Names whose open sessions end when this state is followed by `newer`."""
        return frozenset(
            name
            for name, entry in self._entries.items()
            if not entry.is_disabled and newer._entries.get(name) != entry
        )

    def add(self, name: str, role: Role) -> None:
        """A new name, which can do nothing until it has a password or a token."""
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} can not be a name: expected a letter, then letters, digits, _ . or -, "
                "63 at most"
            )
        if role not in ROLES:
            raise ConfigurationError(f"unknown role {role!r}; expected {', '.join(ROLES)}")

        def change(entries: dict[str, Entry]) -> None:
            if name in entries:
                raise ConfigurationError(f"{name} is already there")
            entries[name] = Entry(role=role)

        self._change(change)

    def set_password(self, name: str, password: str) -> None:
        """Replace the password; an enabled name stays enabled, a disabled one disabled."""
        if not password:
            raise ConfigurationError("the password is empty")
        verifier = make_verifier(password)
        self._change(lambda entries: _update(entries, name, verifier=verifier))

    def make_token(self, name: str) -> str:
        """Make a token and return it: nobody can show it again. The one before ends with it."""
        token_id = base64.b32encode(secrets.token_bytes(8)).decode().rstrip("=").lower()
        token = f"cp_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        kept = Token(id=token_id, sha256=hashlib.sha256(token.encode()).digest())
        self._change(lambda entries: _update(entries, name, token=kept))
        return token

    def disable(self, name: str) -> None:
        """From the next load on this name can not come in; what it had is kept."""
        self._change(lambda entries: _update(entries, name, is_disabled=True))

    def enable(self, name: str) -> None:
        self._change(lambda entries: _update(entries, name, is_disabled=False))

    def _change(self, change: Callable[[dict[str, Entry]], None]) -> None:
        with _locked(self.path):
            # What others wrote since this state was read must not be lost.
            entries = _read(self.path, create=True)
            change(entries)
            _write(self.path, entries)
        self._take(entries)


def _update(
    entries: dict[str, Entry],
    name: str,
    *,
    verifier: ScramVerifier | None = None,
    token: Token | None = None,
    is_disabled: bool | None = None,
) -> None:
    entry = entries.get(name)
    if entry is None:
        raise ConfigurationError(f"there is no {name}: consent-proxy tool add {name}")
    entries[name] = replace(
        entry,
        verifier=verifier or entry.verifier,
        token=token or entry.token,
        is_disabled=entry.is_disabled if is_disabled is None else is_disabled,
    )


def _from_base64(value: object) -> object:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected base64") from None


def _from_hex(value: object) -> object:
    try:
        return bytes.fromhex(str(value))
    except ValueError:
        raise ValueError("expected hexadecimal digits") from None


_Key = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=32, max_length=32)]
_Salt = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=8, max_length=64)]
_Digest = Annotated[bytes, BeforeValidator(_from_hex), Field(min_length=32, max_length=32)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Scram(_Strict):
    salt: _Salt
    iterations: Annotated[int, Field(ge=4096, le=10_000_000)]
    stored_key: _Key
    server_key: _Key


class _Token(_Strict):
    id: Annotated[str, Field(pattern=r"^[a-z2-7]{13}$")]
    sha256: _Digest


class _Credential(_Strict):
    role: Role
    disabled: bool = False
    scram: _Scram | None = None
    token: _Token | None = None


class _File(_Strict):
    version: Literal[1]
    credentials: dict[str, _Credential] = {}


def _read(path: Path, *, create: bool = False) -> dict[str, Entry]:
    try:
        with path.open(encoding="utf-8") as file:
            # Of the open file, not of the name: the name may mean another file by now.
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others: chmod 600 {path}")
            text = file.read()
    except FileNotFoundError:
        if create:
            return {}
        raise ConfigurationError(
            f"{path}: there is no secrets file yet; `consent-proxy tool add NAME` makes it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can not be read: {type(error).__name__}") from None
    try:
        model = _File.model_validate(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        # Only where and what: never the values.
        wrong = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("\n".join(wrong)) from None
    return {name: _entry(credential) for name, credential in model.credentials.items()}


def _entry(credential: _Credential) -> Entry:
    scram, token = credential.scram, credential.token
    return Entry(
        role=credential.role,
        is_disabled=credential.disabled,
        verifier=None if scram is None else ScramVerifier(**scram.model_dump()),
        token=None if token is None else Token(**token.model_dump()),
    )


def _write(path: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the file in one step: whoever reads sees the old one or the new one, whole."""
    document = {
        "version": 1,
        "credentials": {name: _document(entry) for name, entry in sorted(entries.items())},
    }
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_HEADER)
            yaml = YAML(typ="safe", pure=True)
            yaml.default_flow_style = False
            yaml.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the new name, too, has to survive
    finally:
        os.close(folder)


def _document(entry: Entry) -> dict[str, object]:
    document: dict[str, object] = {"role": entry.role}
    if entry.is_disabled:
        document["disabled"] = True
    if (verifier := entry.verifier) is not None:
        document["scram"] = {
            "salt": base64.b64encode(verifier.salt).decode(),
            "iterations": verifier.iterations,
            "stored_key": base64.b64encode(verifier.stored_key).decode(),
            "server_key": base64.b64encode(verifier.server_key).decode(),
        }
    if (token := entry.token) is not None:
        document["token"] = {"id": token.id, "sha256": token.sha256.hex()}
    return document


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two commands that change the file at once take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder is what is locked: the file itself is replaced by every change.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
