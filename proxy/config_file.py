"""Reads consent-proxy.yaml and the environment into `proxy.config.Config`.

pydantic checks shapes, this module everything that pydantic can not see; problems of both are
told together, each with the file and line, or the variable, it came from.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, NoReturn, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from proxy import config
from proxy.config import Address, Config, Database, Limits, Listen, Pooling, Tls
from proxy.config_url import read_url
from proxy.errors import ConfigurationError
from proxy.policy import yaml_tree
from proxy.policy.problem import Place

PREFIX: Final = "CONSENT_PROXY_"
PASSWORD_VARIABLE: Final = "PGPASSWORD"  # noqa: S105 - the name of a variable

# Variables that are read elsewhere, or that container platforms set for a service of this name.
_NOT_SETTINGS: Final = re.compile(
    r"CONSENT_PROXY_(CONFIG|LOG_LEVEL|SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP)(_.*)?)?)"
)

Path_ = tuple[str, ...]

_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_UNITS: Final = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _size(value: object) -> object:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("expected a size, as 1MiB, 512KiB or a number of bytes")


def _address(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"\[?([^\[\]]+?)\]?:(\d{1,5})", value)):
        host, port = match[1], int(match[2])
        if port < 65536 and (":" not in host or value.startswith("[")):
            return Address(host, port)
    raise ValueError("expected host:port, as 127.0.0.1:6432 or [::1]:6432")


def _number(value: object) -> object:
    if isinstance(value, bool):  # to Python, true is 1
        raise ValueError("expected a number")
    # YAML's tree keeps decimal fractions exact; a variable is always text.
    return value if isinstance(value, int) else str(value)


AddressText = Annotated[Address, BeforeValidator(_address)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, le=86_400 * 7)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, le=100_000)]
Text = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class _Tls(_Section):
    certificate: Text
    key: Text


class _Listen(_Section):
    postgres: AddressText = Address("127.0.0.1", 6432)
    http: AddressText = Address("127.0.0.1", 8432)
    tls: _Tls | None = None
    insecure: bool = False


class _Upstream(_Section):
    url: Text
    password_file: Text | None = None
    connections: Count = 100
    pooling: Pooling = "session"
    reuse_statements: bool = True


class _Consent(_Section):
    url: Text
    password_file: Text | None = None


class _AccessLog(_Section):
    folder: Text = "var/access-log"
    durability: Literal["host", "process"] = "host"


_DEFAULTS: Final = Limits()


class _Limits(_Section):
    connections: Count = _DEFAULTS.connections
    # A statement is held several times over while it is read; a name alone takes 63 bytes.
    statement_bytes: Annotated[int, BeforeValidator(_size), Field(ge=1024, le=1 << 26)] = (
        _DEFAULTS.statement_bytes
    )
    statement_nesting: Annotated[int, BeforeValidator(_number), Field(ge=10, le=1000)] = (
        _DEFAULTS.statement_nesting
    )
    upstream_wait_s: Seconds = _DEFAULTS.upstream_wait_s
    snapshot_s: Seconds = _DEFAULTS.snapshot_s
    statement_s: Seconds = _DEFAULTS.statement_s
    idle_s: Seconds = _DEFAULTS.idle_s
    drain_s: Seconds = _DEFAULTS.drain_s


class _File(_Section):
    listen: _Listen = _Listen()
    upstream: _Upstream
    consent: _Consent
    policy: Text
    secrets: Text = "secrets.yaml"
    access_log: _AccessLog = _AccessLog()
    limits: _Limits = _Limits()


@dataclass(slots=True)
class _Source:
    """Where each value came from, and what is wrong so far."""

    file: str
    places: dict[Path_, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def fail(self, path: Path_, message: str) -> None:
        ways = (path[:end] for end in range(len(path), 0, -1))
        place = next((self.places[way] for way in ways if way in self.places), self.file)
        parts = [place] if place.startswith(PREFIX) else [place, ".".join(path)]
        self.problems.append(": ".join(part for part in [*parts, message] if part))

    def stop_if_wrong(self) -> None:
        if self.problems:
            raise ConfigurationError("\n".join(dict.fromkeys(self.problems)))


def read_config(file: Path, variables: Mapping[str, str], *, is_optional: bool) -> Config:
    """The configuration of a file and the environment; see `proxy.config.load_config`."""
    source = _Source(str(file))
    values = _file_values(file, source, is_optional=is_optional)
    _overlay_variables(values, variables, source)
    source.stop_if_wrong()
    try:
        model = _File.model_validate(values)
    except ValidationError as error:
        for details in error.errors():
            path = tuple(str(part) for part in details["loc"])
            source.fail(path, _explain(details, path))
        source.stop_if_wrong()
        raise
    return _finish(model, file, variables, source)


def setting_variables() -> dict[str, Path_]:
    """Every setting's environment variable, with its way through the file."""
    return {PREFIX + "_".join(path).upper(): path for path in _leaves(_File)}


def _leaves(model: type[BaseModel], above: Path_ = ()) -> Iterator[Path_]:
    for name, info in model.model_fields.items():
        inner = _section_of(info.annotation)
        if inner is None:
            yield (*above, name)
        else:
            yield from _leaves(inner, (*above, name))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if (
            isinstance(candidate, type)
            and candidate is not NoneType
            and issubclass(candidate, BaseModel)
        ):
            return candidate
    return None


def _file_values(file: Path, source: _Source, *, is_optional: bool) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if is_optional:
            source.file = "environment"
            return {}
        _stop(f"{file}: there is no such file")
    except (OSError, UnicodeDecodeError) as error:
        _stop(f"{file}: can not be read: {error}")

    def report(place: Place, key: str, message: str) -> None:
        source.problems.append(": ".join(part for part in (str(place), key, message) if part))

    tree = yaml_tree.read_tree(str(file), text, report)
    if tree is None:
        return {}
    if not isinstance(tree, yaml_tree.Mapping):
        _stop(f"{tree.place}: expected the keys {', '.join(_File.model_fields)}")
    values = _plain(tree, (), source)
    assert isinstance(values, dict)  # noqa: S101 - a mapping's plain form; for the type checker
    return values


def _plain(node: yaml_tree.Node, path: Path_, source: _Source) -> Any:
    match node:
        case yaml_tree.Mapping(entries=entries):
            values = {}
            for entry in entries:
                source.places[(*path, entry.key)] = str(entry.place)
                values[entry.key] = _plain(entry.node, (*path, entry.key), source)
            return values
        case yaml_tree.Sequence(items=items):
            return [_plain(item, path, source) for item in items]
        case yaml_tree.Scalar(value=value):
            return value


def _overlay_variables(
    values: dict[str, Any], variables: Mapping[str, str], source: _Source
) -> None:
    known = setting_variables()
    for name, text in sorted(variables.items()):
        if not name.startswith(PREFIX) or _NOT_SETTINGS.fullmatch(name):
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            source.problems.append(f"{name}: there is no such setting{hint}")
            continue
        path = known[name]
        section = values
        for part in path[:-1]:
            inner = section.get(part)
            if not isinstance(inner, dict):
                inner = section[part] = {}
            section = inner
        section[path[-1]] = text
        source.places[path] = name


def _explain(details: ErrorDetails, path: Path_) -> str:
    match details["type"]:
        case "missing":
            variable = next((n for n, p in setting_variables().items() if p == path), None)
            also = f" (or the variable {variable})" if variable else ""
            return f"is missing{also}"
        case "extra_forbidden":
            siblings = _keys_beside(path)
            close = difflib.get_close_matches(path[-1], siblings, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(siblings)}"
            return f"unknown key; {hint}"
        case "model_type" | "dict_type":
            return "expected keys below it"
        case "value_error":
            return details["msg"].removeprefix("Value error, ")
        case _:
            # The value itself is not repeated: it may be a password in the wrong place.
            return details["msg"][0].lower() + details["msg"][1:].replace("Input should", "should")


def _keys_beside(path: Path_) -> list[str]:
    above, depth = path[:-1], len(path)
    keys = (way[depth - 1] for way in setting_variables().values() if way[: depth - 1] == above)
    return list(dict.fromkeys(keys))


def _finish(model: _File, file: Path, variables: Mapping[str, str], source: _Source) -> Config:
    folder = file.absolute().parent
    listen = _listen(model.listen, folder, source)
    upstream = _database("upstream", model.upstream, folder, variables, source)
    consent = _database("consent", model.consent, folder, variables, source)
    policy = folder / model.policy
    if not policy.is_dir():
        source.fail(("policy",), f"expected a folder of policy files; {policy} is none")
    source.stop_if_wrong()
    if upstream is None or consent is None:
        raise ConfigurationError("the databases are not understood")
    return Config(
        file=file.absolute() if file.exists() else None,
        folder=folder,
        listen=listen,
        upstream=upstream,
        upstream_connections=model.upstream.connections,
        upstream_pooling=model.upstream.pooling,
        reuses_statements=model.upstream.reuse_statements,
        consent=consent,
        policy=policy,
        secrets=folder / model.secrets,
        access_log=config.AccessLogSettings(
            folder=folder / model.access_log.folder, durability=model.access_log.durability
        ),
        limits=Limits(**model.limits.model_dump()),
    )


def _listen(listen: _Listen, folder: Path, source: _Source) -> Listen:
    tls = None
    if listen.tls is not None:
        tls = Tls(certificate=folder / listen.tls.certificate, key=folder / listen.tls.key)
        for name, path in (("certificate", tls.certificate), ("key", tls.key)):
            if not path.is_file():
                source.fail(("listen", "tls", name), f"expected a PEM file; {path} is none")
    for name, address in (("postgres", listen.postgres), ("http", listen.http)):
        if tls is None and not address.is_loopback and not listen.insecure:
            source.fail(
                ("listen", name),
                f"{address} is reachable from elsewhere: TLS is required there (listen.tls with "
                "certificate and key), or say `insecure: true` under listen",
            )
    return Listen(postgres=listen.postgres, http=listen.http, tls=tls, insecure=listen.insecure)


def _database(
    name: str,
    section: _Upstream | _Consent,
    folder: Path,
    variables: Mapping[str, str],
    source: _Source,
) -> Database | None:
    password = variables.get(PASSWORD_VARIABLE)
    if section.password_file is not None:
        path = folder / section.password_file
        try:
            password = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            source.fail((name, "password_file"), f"expected a file with a password; {path} is none")
    try:
        return read_url(section.url, password, folder)
    except ValueError as error:
        source.fail((name, "url"), str(error))
        return None


def _stop(message: str) -> NoReturn:
    raise ConfigurationError(message)
