"""One worker of the proxy: everything put together, started, reloaded and stopped.

The doors, the planner, the upstream pool, the ledger, the access log and the secrets know each
other only through this module. Several workers share the ports (SO_REUSEPORT); what they share
besides is in the database and in files.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
import structlog

from proxy.access_log.log import AccessLog
from proxy.access_log.record import policy_fields, rejected_policy_fields
from proxy.access_log.segments import LogSealed
from proxy.config import Address, Config, Database, Tls
from proxy.consent.connect import connect_arguments
from proxy.consent.epoch import EpochReader
from proxy.consent.errors import ConsentError
from proxy.consent.ledger import Ledger, unprepared
from proxy.counts import DoorCounts, PlanCounts
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import ConfigurationError, UpstreamProtocolError
from proxy.gateway.gateway import Gateway
from proxy.passwords import ScramVerifier
from proxy.planner import Planner
from proxy.policy.check import asks_ledger, catalog_schemas, out_of_service
from proxy.policy.load import PolicyErrors, load_policy
from proxy.policy.model import Policy
from proxy.post import WorkerPost
from proxy.secrets import Credential, Secrets
from proxy.session.door import PostgresDoor
from proxy.session.services import Services, ToolLogin
from proxy.sql.catalog import Catalog, catalog_fingerprint, load_catalog
from proxy.sql.settings import SettingLimits, check_set
from proxy.telemetry import Metrics
from proxy.upstream.pool import Pool
from proxy.watch import snapshot, watch

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

# A change of the database's catalog is noticed within this; until then statements may fail.
CATALOG_WATCH_S: Final = 2.0
# What went with so many policies and catalogs may still be there: a few hundred KiB of each.
REPLACED_KEPT_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a worker answers."""

    postgres: tuple[str, int]
    http: tuple[str, int]


class Credentials:
    """Who may come in: the secrets file's names, with the policy's purposes for tools."""

    def __init__(self, secrets: Secrets, policy: Policy) -> None:
        self.secrets = secrets
        self.policy = policy

    def scram_verifier(self, user: str) -> ScramVerifier | None:
        return self.secrets.scram_verifier(user)

    def credential_of_token(self, token: str) -> Credential | None:
        return self.secrets.credential_of_token(token)

    def tool_of(self, user: str) -> ToolLogin | None:
        """The tool of that name. One that the policy does not name has no purposes."""
        credential = self.secrets.credential(user)
        if credential is None:
            return None
        tool = self.policy.tools.get(user)
        return ToolLogin(
            name=user,
            credential=credential.id,
            role=credential.role,
            is_disabled=credential.is_disabled or (credential.role == "tool" and tool is None),
            purposes=() if tool is None else tool.purposes,
            default=None if tool is None else tool.default,
            search_path=self.policy.schemas,
        )


class Server:
    """One worker. `start` returns when both doors answer; `stop` drains and closes."""

    def __init__(self, config: Config, *, worker: int = 0, post: WorkerPost | None = None) -> None:
        self._config = config
        self._worker = worker
        self._post = post  # there where other workers share the ports
        self._metrics = Metrics()
        self._tasks: list[asyncio.Task[None]] = []
        # Policy and catalog change one at a time: whoever began with the older policy must not
        # put it in force again after a newer one.
        self._changing = asyncio.Lock()
        self._policy_error: str | None = None
        self._is_policy_waiting = False  # good in itself: the database is not ready for it
        self._are_secrets_current = True
        self._is_catalog_known = True
        self._fingerprint = ""
        self._ledger: Ledger | None = None
        self._replaced = 0  # so many times policy or catalog

    # --- life ---

    async def start(self) -> Ready:
        """Raises ConfigurationError (or PolicyErrors) where the proxy must not start."""
        async with contextlib.AsyncExitStack() as opened:
            ready = await self._start(opened)
            opened.pop_all()  # from here on, `stop` closes
            return ready

    async def _start(self, opened: contextlib.AsyncExitStack) -> Ready:
        config = self._config
        # Before they are read: what changes while the proxy starts is a change, too.
        self._seen = {path: snapshot([path]) for path in (config.policy, config.secrets)}
        policy = load_policy(config.policy)
        secrets = Secrets.load(config.secrets)
        await self._refuse_unprepared(policy)
        catalog, self._fingerprint = await self._read_catalog(policy)
        self._pool = Pool(
            config.upstream,
            connections=config.upstream_connections,
            wait_s=config.limits.upstream_wait_s,
            statement_s=config.limits.statement_s,
            pooling=config.upstream_pooling,
            reuses_statements=config.reuses_statements,
        )
        try:
            await self._pool.start()
        except (UpstreamProtocolError, OSError, TimeoutError) as error:
            message = f"the database at {config.upstream.url} can not be used: {error}"
            raise ConfigurationError(message) from None
        opened.push_async_callback(self._pool.close)
        self._access_log = AccessLog.open(
            config.access_log.folder, f"worker-{self._worker}", config.access_log.durability
        )
        opened.push_async_callback(self._access_log.close)
        self._planner = Planner(self._enforcer(policy, catalog))
        self._planner.rehearse()
        self._credentials = Credentials(secrets, policy)
        self._epoch = EpochReader(config.upstream.absolute_url, config.upstream.password)
        await self._connect_ledger(policy)
        services = Services(
            credentials=self._credentials,
            planner=self._planner,
            access_log=self._access_log,
            epoch=self._epoch,
            limits=config.limits,
            policy_revision=lambda: self._credentials.policy.revision,
            check_setting=lambda name, value: check_set(name, value, self._setting_limits()),
            counts=DoorCounts(self._metrics),
        )
        tls = config.listen.tls
        self._door = PostgresDoor(
            services,
            self._pool,
            database=config.upstream.database,
            worker=self._worker,
            certificate=None if tls is None else _certificate(tls),
            requires_tls=tls is not None and not config.listen.insecure,
            forward_cancel=None if self._post is None else self._post.forward,
        )
        self._gateway = Gateway(
            services,
            self._pool,
            tokens=self._credentials,
            ledger=lambda: self._ledger,
            metrics=self._metrics,
            readiness=self.readiness,
            statement_s=config.limits.statement_s,
            other_pages=None if self._post is None else self._post.pages,
        )
        self._count()
        self._note_policy(policy)
        ready = await self._open_doors()
        if self._post is not None:
            self._post.listen(self._door.cancel, self._gateway.metrics_page)
        self._access_log.add_on_sealed(self._seal)
        self._watch()
        return ready

    async def stop(self) -> None:
        """Stop accepting, let statements end for `limits.drain_s`, close the log."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        drain_s = self._config.limits.drain_s
        # Backwards, each whatever happens to the others: the log is closed last and always.
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(self._access_log.close)
            closing.callback(self._planner.close)
            if self._ledger is not None:
                closing.push_async_callback(self._ledger.close)
            closing.push_async_callback(self._epoch.close)
            closing.push_async_callback(self._pool.close)
            closing.push_async_callback(self._gateway.close)
            if self._post is not None:
                closing.callback(self._post.stop_listening)
            await asyncio.gather(self._door.drain(drain_s), self._gateway.drain(drain_s))

    async def reload(self) -> None:
        """Read policy and secrets again (SIGHUP); a broken one leaves the last good in force."""
        await self._reload_policy()
        await self._reload_secrets()

    def readiness(self) -> list[tuple[str, bool, str]]:
        """What must be true for statements to be answered: name, is it so, detail."""
        sealed = self._access_log.sealed
        return [
            ("access_log", sealed is None, sealed or "open"),
            _check("policy", self._policy_error is None, "loaded", _NOT_CURRENT),
            _check("secrets", self._are_secrets_current, "loaded", _NOT_CURRENT),
            _check("upstream", self._pool.is_healthy, "answers", "silent"),
            _check("catalog", self._is_catalog_known, "known", "can not be read"),
        ]

    # --- parts ---

    async def _open_doors(self) -> Ready:
        listen = self._config.listen
        tls = None if listen.tls is None else _server_tls(listen.tls)
        is_shared = self._post is not None

        async def opened(door: PostgresDoor | Gateway, address: Address) -> tuple[str, int]:
            try:
                port = await door.start(address.host, address.port, tls, reuse_port=is_shared)
            except OSError as error:
                message = f"{address} can not be listened on: {error.strerror}"
                raise ConfigurationError(message) from None
            return address.host, port

        return Ready(
            postgres=await opened(self._door, listen.postgres),
            http=await opened(self._gateway, listen.http),
        )

    def _enforcer(self, policy: Policy, catalog: Catalog) -> Enforcer:
        limits = self._config.limits
        for relation, problems in out_of_service(policy, catalog).items():
            _log.warning("relation out of service", relation=str(relation), problems=len(problems))
        for relation in asks_ledger(policy, catalog):
            _log.warning("consent in the table is not trusted: init", relation=str(relation))
        enforcer = Enforcer(
            policy,
            catalog,
            StatementLimits(
                statement_bytes=limits.statement_bytes,
                statement_nesting=limits.statement_nesting,
            ),
            self._setting_limits(),
        )
        enforcer.set_up()
        return enforcer

    async def _made_ready(self, policy: Policy, catalog: Catalog) -> Enforcer:
        """Beside the loop: statements go on under what is in force."""
        enforcer = await asyncio.to_thread(self._enforcer, policy, catalog)
        await self._planner.prepare(enforcer)
        return enforcer

    def _replace(self, enforcer: Enforcer) -> None:
        self._planner.replace(enforcer)
        # What came stays, as at the start (workers.py). What went, and points at itself, is looked
        # for now and then: among all that was put aside that takes 45 ms.
        self._replaced += 1
        if self._replaced % REPLACED_KEPT_MAX == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _setting_limits(self) -> SettingLimits:
        limits = self._config.limits
        return SettingLimits(
            statement_ms=int(limits.statement_s * 1000), idle_ms=int(limits.idle_s * 1000)
        )

    async def _read_catalog(self, policy: Policy) -> tuple[Catalog, str]:
        """The catalog, and its fingerprint from just before: what changed meanwhile differs."""
        schemas = catalog_schemas(policy)

        async def read(connection: asyncpg.Connection) -> tuple[Catalog, str]:
            fingerprint = await catalog_fingerprint(connection, schemas)
            return await load_catalog(connection, schemas), fingerprint

        return await _with_connection(self._config.upstream, read)

    async def _refuse_unprepared(self, policy: Policy) -> None:
        """A policy that the ledger is not prepared for is not served: a purpose whose basis became
        consent would still say yes to everybody.
        """
        try:
            missing = await _with_connection(
                self._config.upstream, lambda connection: unprepared(connection, policy)
            )
        except ConfigurationError as error:
            if isinstance(
                error.__cause__, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError
            ):
                missing = ("schema consent",)
            else:
                raise
        if missing:
            raise ConfigurationError(
                f"the database is not prepared for this policy ({', '.join(missing)}): "
                "run `consent-proxy init`"
            )

    async def _connect_ledger(self, policy: Policy) -> None:
        consent = self._config.consent
        try:
            self._ledger = await Ledger.connect(consent.absolute_url, consent.password, policy)
        except ConsentError as error:
            # Statements can be answered without it: what is in force is read by the guards. The
            # recording of consent answers 503 until the ledger can be reached.
            _log.warning("the ledger can not be used", error=str(error))

    def _count(self) -> None:
        """Metrics that are read where they are asked for."""
        counted = self._door.connections
        self._metrics.connections.labels("postgres").set_function(lambda: counted.logged_in)
        self._metrics.registry.register(self._pool.counts)
        planner = self._planner
        self._metrics.registry.register(
            PlanCounts(lambda: (planner.hits, planner.lifted, planner.misses))
        )

    def _note_policy(self, policy: Policy) -> None:
        self._metrics.build.clear()
        self._metrics.build.labels(_version(), policy.revision[:12]).set(1)
        with contextlib.suppress(LogSealed):
            self._access_log.append(
                "policy.loaded",
                policy_fields(policy=policy.revision, name=policy.name, version=policy.version),
            )

    def _seal(self) -> None:
        _log.error("access log sealed", reason=str(self._access_log.sealed))
        self._metrics.log_sealed.set(1)
        if self._post is not None:
            # Other workers still answer: the kernel shall send no more clients here.
            self._door.stop_listening()
            self._gateway.close_listener()

    # --- changes ---

    def _watch(self) -> None:
        config = self._config
        for work in (
            watch([config.policy], self._reload_policy, known=self._seen[config.policy]),
            watch([config.secrets], self._reload_secrets, known=self._seen[config.secrets]),
            self._watch_catalog(),
        ):
            self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _reload_policy(self) -> None:
        async with self._changing:
            await self._take_policy()

    async def _take_policy(self) -> None:
        try:
            policy = await asyncio.to_thread(load_policy, self._config.policy)
            if policy.revision == self._credentials.policy.revision:
                self._policy_error, self._is_policy_waiting = None, False
                return
            await self._refuse_unprepared(policy)
            catalog, fingerprint = await self._read_catalog(policy)
            enforcer = await self._made_ready(policy, catalog)
        except PolicyErrors as errors:
            self._reject_policy(len(errors.problems), str(errors), is_waiting=False)
            return
        except (ConfigurationError, OSError) as error:
            self._reject_policy(1, str(error), is_waiting=True)
            return
        except Exception:  # noqa: BLE001 - a mistake of ours must not end the watching
            _log.exception("a policy could not be taken")
            self._reject_policy(1, "a mistake of the proxy's", is_waiting=False)
            return
        self._fingerprint = fingerprint
        self._put_in_force(policy, enforcer)

    def _put_in_force(self, policy: Policy, enforcer: Enforcer) -> None:
        before = self._credentials.policy
        self._replace(enforcer)
        self._credentials.policy = policy
        if self._ledger is not None:
            self._ledger.use(policy)
        self._policy_error, self._is_policy_waiting = None, False
        self._note_policy(policy)
        self._metrics.reloads.labels("policy", "ok").inc()
        _log.info("policy in force", revision=policy.revision[:12])
        for name, tool in before.tools.items():
            # What a tool may choose is settled when it logs in.
            if name not in policy.tools or set(tool.purposes) - set(policy.tools[name].purposes):
                self._door.end_sessions(name)

    def _reject_policy(self, errors: int, problem: str, *, is_waiting: bool) -> None:
        if is_waiting and self._is_policy_waiting and problem == self._policy_error:
            return  # tried again, and told before
        self._policy_error, self._is_policy_waiting = problem, is_waiting
        self._metrics.reloads.labels("policy", "rejected").inc()
        _log.error("policy not loaded", problems=errors, problem=problem)
        with contextlib.suppress(LogSealed):
            self._access_log.append(
                "policy.rejected",
                rejected_policy_fields(policy=self._credentials.policy.revision, errors=errors),
            )

    async def _reload_secrets(self) -> None:
        try:
            newer = Secrets.load(self._config.secrets)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the watching
            self._are_secrets_current = False
            self._metrics.reloads.labels("secrets", "rejected").inc()
            problem = str(error) if isinstance(error, ConfigurationError) else None
            _log.exception("secrets not loaded", problem=problem)
            return
        self._are_secrets_current = True
        ended = self._credentials.secrets.ended_in(newer)
        self._credentials.secrets = newer
        self._metrics.reloads.labels("secrets", "ok").inc()
        for tool in ended:
            self._door.end_sessions(tool)

    async def _watch_catalog(self) -> None:
        while True:
            await asyncio.sleep(CATALOG_WATCH_S)
            try:
                await self._follow_catalog()
                if self._is_policy_waiting:
                    await self._reload_policy()
                if self._ledger is None:
                    await self._connect_ledger(self._credentials.policy)
            except Exception as error:  # noqa: BLE001 - watching goes on; readiness tells
                # The plans in force stay sound; they may have become too narrow, or fail.
                if self._is_catalog_known:
                    problem = str(error) if isinstance(error, ConfigurationError) else None
                    _log.exception("catalog can not be read", problem=problem)
                self._is_catalog_known = False
            else:
                self._is_catalog_known = True

    async def _follow_catalog(self) -> None:
        async with self._changing:
            policy = self._credentials.policy
            schemas = catalog_schemas(policy)
            fingerprint = await _with_connection(
                self._config.upstream, lambda connection: catalog_fingerprint(connection, schemas)
            )
            if fingerprint != self._fingerprint:
                catalog, fingerprint = await self._read_catalog(policy)
                self._replace(await self._made_ready(policy, catalog))
                self._fingerprint = fingerprint
                _log.info("catalog read again")


# What anybody may read at /readyz; what exactly is wrong is in the application's log.
_NOT_CURRENT: Final = "not loaded: the last good ones are in force"


def _check(name: str, is_so: bool, good: str, bad: str) -> tuple[str, bool, str]:  # noqa: FBT001
    return name, is_so, good if is_so else bad


async def _with_connection(
    database: Database, work: Callable[[asyncpg.Connection], Awaitable[_T]]
) -> _T:
    """Run `work` on a connection of its own. Raises ConfigurationError in the user's words."""
    try:
        connection = await asyncpg.connect(
            **connect_arguments(database.absolute_url, database.password)
        )
        try:
            return await work(connection)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        # TimeoutError is an OSError, too, and says nothing by itself.
        said = "it does not answer in time" if isinstance(error, TimeoutError) else error
        message = f"the database at {database.url} can not be read: {said}"
        raise ConfigurationError(message) from error


def _version() -> str:
    try:
        return version("consent-proxy")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def _certificate(tls: Tls) -> bytes:
    """The certificate that the door shows, as DER: channel binding is over its hash."""
    text = tls.certificate.read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in text or end not in text:
        raise ConfigurationError(f"{tls.certificate} holds no certificate: expected PEM")
    first = text[text.index(begin) : text.index(end) + len(end)]
    return ssl.PEM_cert_to_DER_cert(first + "\n")


def _server_tls(tls: Tls) -> ssl.SSLContext:
    try:
        return tls.server_context()
    except OSError as error:  # ssl.SSLError is one, too
        said = getattr(error, "reason", None) or error.strerror
        message = f"listen.tls: {tls.certificate} and {tls.key} are no pair: {said}"
        raise ConfigurationError(message) from None


def serve(config: Config, *, workers: int, ready_file: Path | None) -> int:
    """Serve until told to end; the exit code (see workers.py, which needs this module)."""
    from proxy.workers import run

    return run(config, workers=workers, ready_file=ready_file)
