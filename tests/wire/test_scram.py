"""SCRAM: only the password opens, only once, and only to whom it was spoken."""

from __future__ import annotations

import base64
import os

import pytest

from proxy.passwords import make_verifier
from proxy.wire.scram import ScramClient, ScramError, ScramServer, fake_verifier

PLUS = "SCRAM-SHA-256-PLUS"
PLAIN = "SCRAM-SHA-256"


def _talk(
    offered: list[str],
    *,
    password: str = "secret",
    client_binding: bytes | None = None,
    server_binding: bytes | None = None,
) -> None:
    client = ScramClient(offered, password, os.urandom(18), client_binding)
    server = ScramServer(client.mechanism, make_verifier("secret"), os.urandom(18), server_binding)
    first = server.first(client.first())
    client.verify(server.final(client.final(first)))


def test_the_right_password_opens() -> None:
    _talk([PLAIN])
    _talk([PLUS, PLAIN], client_binding=b"hash", server_binding=b"hash")


def test_a_wrong_password_does_not() -> None:
    with pytest.raises(ScramError):
        _talk([PLAIN], password="Secret")


def test_the_certificate_must_be_the_one_both_see() -> None:
    with pytest.raises(ScramError):
        _talk([PLUS, PLAIN], client_binding=b"mine", server_binding=b"another's")


def test_taking_plus_out_of_the_offer_is_noticed() -> None:
    with pytest.raises(ScramError):
        _talk([PLAIN], client_binding=b"hash", server_binding=b"hash")


def test_a_mechanism_that_was_not_offered_is_refused() -> None:
    for mechanism in ("SCRAM-SHA-1", PLUS, ""):
        with pytest.raises(ScramError):
            ScramServer(mechanism, make_verifier("x"), b"n", None)


def test_nobody_knows_the_password_of_a_fake_verifier() -> None:
    server = ScramServer(PLAIN, fake_verifier("nobody", b"key"), os.urandom(18), None)
    client = ScramClient([PLAIN], "", os.urandom(18), None)
    with pytest.raises(ScramError):
        server.final(client.final(server.first(client.first())))


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,r=abc",
        b"n,,n=,r=",
        b"n,,n=,r=a,b",
        b"p=tls-unique,,n=,r=abc",
        b"x,,n=,r=abc",
        b"n,,n=,r=abc\xff",
        b"n,,m=ext,n=,r=abc",
    ],
)
def test_malformed_first_messages_are_refused(first: bytes) -> None:
    with pytest.raises(ScramError):
        ScramServer(PLAIN, make_verifier("x"), b"nonce", None).first(first)


@pytest.mark.parametrize("user", [b"", b"*", b"mailer"])
def test_the_user_name_inside_scram_is_ignored(user: bytes) -> None:
    server = ScramServer(PLAIN, make_verifier("x"), b"nonce", None)
    assert server.first(b"n,,n=" + user + b",r=abc").startswith(b"r=abc")


def test_a_server_that_does_not_know_the_password_is_noticed() -> None:
    client = ScramClient([PLAIN], "secret", b"nonce", None)
    server = ScramServer(PLAIN, make_verifier("secret"), b"other", None)
    client.final(server.first(client.first()))
    with pytest.raises(ScramError):
        client.verify(b"v=" + base64.b64encode(bytes(32)))


def test_a_server_can_not_make_us_work_for_hours() -> None:
    client = ScramClient([PLAIN], "secret", b"nonce", None)
    nonce = client.first().split(b"r=")[1]
    with pytest.raises(ScramError):
        client.final(b"r=" + nonce + b"x,s=AAAA,i=99999999999")


def test_rfc_7677s_example() -> None:
    """The test vector of RFC 7677, section 3, from the server's side."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    server = ScramServer(PLAIN, make_verifier("pencil", salt=salt), b"", None)
    server._nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    first = server.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = server.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
