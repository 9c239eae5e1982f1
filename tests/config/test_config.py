"""consent-proxy.yaml and its environment variables: complete when right, all told when wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config import Address, Config, load_config
from proxy.config_file import setting_variables
from proxy.errors import ConfigurationError

MINIMAL = """
upstream: {url: "postgresql://consent_reader@127.0.0.1/crm"}
consent: {url: "postgresql://consent_writer@127.0.0.1/crm"}
policy: policies
"""

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "policies").mkdir()

    def load(text: str, variables: Mapping[str, str] | None = None) -> Config:
        file = tmp_path / "consent-proxy.yaml"
        file.write_text(text)
        return load_config(file, variables or {})

    return load


def problems_of(load: Load, text: str, variables: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, variables)
    return str(caught.value).splitlines()


def test_the_documented_file_is_read_whole(load: Load, tmp_path: Path) -> None:
    for name in ("chain.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    (tmp_path / "reader.password").write_text("s3cret word\n")
    config = load("""
listen: {postgres: 0.0.0.0:6432, http: "[::1]:8432", tls: {certificate: chain.pem, key: key.pem}}
upstream:
  url: postgresql://consent_reader@db.example.com:5433/crm?sslrootcert=ca.pem
  password_file: reader.password
  connections: 20
  pooling: transaction
  reuse_statements: false
consent: {url: "postgresql://consent_writer@/crm?host=/run/postgresql"}
policy: policies
secrets: secrets.yaml
access_log: {folder: var/access-log, durability: process}
limits: {connections: 10, statement_bytes: 1MiB, statement_nesting: 100, upstream_wait_s: 0.5}
""")
    assert config.listen.postgres == Address("0.0.0.0", 6432)
    assert config.listen.http == Address("::1", 8432)
    assert config.listen.tls is not None
    assert config.listen.tls.key == tmp_path / "key.pem"
    assert (config.upstream.host, config.upstream.port) == ("db.example.com", 5433)
    assert config.upstream.password == "s3cret word"
    assert config.upstream.root_certificate == tmp_path / "ca.pem"
    assert config.upstream_connections == 20
    assert config.upstream_pooling == "transaction"
    assert config.reuses_statements is False
    assert config.consent.is_unix_socket
    assert config.policy == tmp_path / "policies"
    assert config.secrets == tmp_path / "secrets.yaml"
    assert config.access_log.folder == tmp_path / "var/access-log"
    assert config.access_log.durability == "process"
    assert config.limits.statement_bytes == 1 << 20
    assert config.limits.upstream_wait_s == 0.5
    assert config.limits.drain_s == 20


def test_what_is_not_written_has_the_documented_default(load: Load) -> None:
    config = load(MINIMAL)
    assert str(config.listen.postgres) == "127.0.0.1:6432"
    assert str(config.listen.http) == "127.0.0.1:8432"
    assert config.limits.snapshot_s == 60
    assert config.access_log.durability == "host"


def test_every_problem_is_told_at_once_with_file_line_and_key(load: Load, tmp_path: Path) -> None:
    found = problems_of(
        load,
        """upstream: {url: "postgresql://consent_reader:hush@127.0.0.1/crm"}
consent: {url: "postgresql://consent_writer@127.0.0.1/crm", pasword_file: x}
policy: nowhere
limits:
  statement_bytes: a lot
  idle_s: 0
  conections: 7
""",
    )
    file = tmp_path / "consent-proxy.yaml"
    assert (
        f"{file}:5: limits.statement_bytes: expected a size, as 1MiB, 512KiB or a number"
        in (found[1])
    )
    assert [line.split(": ")[:2] for line in found] == [
        [f"{file}:2", "consent.pasword_file"],
        [f"{file}:5", "limits.statement_bytes"],
        [f"{file}:6", "limits.idle_s"],
        [f"{file}:7", "limits.conections"],
    ]
    assert "did you mean password_file?" in found[0]
    assert "did you mean connections?" in found[3]


def test_a_password_in_a_url_is_refused_and_not_repeated(load: Load) -> None:
    (problem,) = problems_of(load, MINIMAL.replace("consent_reader@", "consent_reader:hush@"))
    assert "password_file" in problem
    assert "hush" not in problem


def test_a_variable_wins_over_the_file_and_is_named_in_problems(load: Load) -> None:
    config = load(
        MINIMAL,
        {
            "CONSENT_PROXY_LISTEN_POSTGRES": "127.0.0.1:0",
            "CONSENT_PROXY_LIMITS_STATEMENT_S": "1.5",
            "CONSENT_PROXY_LIMITS_STATEMENT_BYTES": "64KiB",
            "CONSENT_PROXY_LIMITS_CONNECTIONS": "5",
            "PGPASSWORD": "from the environment",
        },
    )
    assert config.listen.postgres.port == 0
    assert config.limits.statement_s == 1.5
    assert config.limits.statement_bytes == 65536
    assert config.limits.connections == 5
    assert config.upstream.password == "from the environment"

    found = problems_of(load, MINIMAL, {"CONSENT_PROXY_LIMITS_IDLE_S": "never"})
    assert found[0].startswith("CONSENT_PROXY_LIMITS_IDLE_S: ")


def test_every_setting_has_a_variable() -> None:
    names = setting_variables()
    assert names["CONSENT_PROXY_UPSTREAM_PASSWORD_FILE"] == ("upstream", "password_file")
    assert names["CONSENT_PROXY_LISTEN_TLS_CERTIFICATE"] == ("listen", "tls", "certificate")
    assert len(names) == 24


def test_the_environment_alone_can_say_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    config = load_config(
        None,
        {
            "CONSENT_PROXY_UPSTREAM_URL": "postgresql://a@localhost/crm",
            "CONSENT_PROXY_CONSENT_URL": "postgresql://b@localhost/crm",
            "CONSENT_PROXY_POLICY": "p",
        },
    )
    assert config.file is None
    assert config.policy == tmp_path / "p"


def test_an_unknown_variable_is_an_error_but_those_of_a_container_platform_are_not(
    load: Load,
) -> None:
    platform = {
        "CONSENT_PROXY_SERVICE_HOST": "10.0.0.7",
        "CONSENT_PROXY_SERVICE_PORT_POSTGRES": "6432",
        "CONSENT_PROXY_PORT_6432_TCP_ADDR": "10.0.0.7",
        "CONSENT_PROXY_PORT": "tcp://10.0.0.7:6432",
    }
    load(MINIMAL, platform)
    found = problems_of(load, MINIMAL, {"CONSENT_PROXY_LIMIT_IDLE_S": "3"})
    (problem,) = found
    assert problem.startswith("CONSENT_PROXY_LIMIT_IDLE_S: there is no such setting")
    assert problem.endswith("did you mean CONSENT_PROXY_LIMITS_IDLE_S?")


@pytest.mark.parametrize("address", ["0.0.0.0:6432", "192.0.2.1:6432", "proxy.internal:6432"])
def test_beyond_loopback_tls_is_required_unless_insecure_is_said(load: Load, address: str) -> None:
    text = MINIMAL + f"listen: {{postgres: '{address}'}}\n"
    (problem,) = problems_of(load, text)
    assert "TLS is required" in problem
    assert load(text.replace("'}", "', insecure: true}")).listen.insecure


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "127.8.8.8", "[::1]"])
def test_on_loopback_tls_is_optional(load: Load, address: str) -> None:
    assert load(MINIMAL + f"listen: {{http: '{address}:1'}}\n").listen.tls is None


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_beyond_this_machine_the_upstreams_certificate_is_always_verified(
    load: Load, mode: str
) -> None:
    far = MINIMAL.replace("consent_reader@127.0.0.1", "consent_reader@db.example.com")
    config = load(far)
    context = config.upstream.tls_context()
    assert context is not None
    assert context.check_hostname
    (problem,) = problems_of(load, far.replace("com/crm", f"com/crm?sslmode={mode}"))
    assert "verify-full" in problem


def test_several_hosts_are_refused_since_one_may_be_a_standby(load: Load) -> None:
    (problem,) = problems_of(load, MINIMAL.replace("reader@127.0.0.1/", "reader@/").replace(
        '/crm"}\nconsent', '/crm?host=a,b"}\nconsent'))  # fmt: skip
    assert "the same primary" in problem


def test_a_key_written_twice_is_told(load: Load) -> None:
    assert any("already there" in line for line in problems_of(load, MINIMAL + "policy: other\n"))


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_config(tmp_path / "no.yaml", {})
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_config(None, {"CONSENT_PROXY_CONFIG": str(tmp_path / "no.yaml")})


def test_a_password_never_shows_in_a_representation(load: Load) -> None:
    assert "hush" not in repr(load(MINIMAL, {"PGPASSWORD": "hush"}))
