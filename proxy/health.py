"""`python -m proxy.health [/healthz|/readyz]`: asks the HTTP door on this machine; exit 0 is yes.

For a container's health check, which has no curl. Reads the configuration as the server does.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from typing import Final

from proxy.config import Address, load_config
from proxy.errors import ConfigurationError

TIMEOUT_S: Final = 2.5  # under the three seconds that the image gives a check


def is_answered(address: Address, path: str, *, is_tls: bool) -> bool:
    """Whether the door at `address` answers 200 for a path."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    connection: http.client.HTTPConnection
    if is_tls:
        # The certificate names the proxy, not this machine's loopback; nothing secret is said.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            host, address.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, address.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    path = arguments[0] if arguments else "/healthz"
    try:
        config = load_config()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    is_yes = is_answered(config.listen.http, path, is_tls=config.listen.tls is not None)
    return 0 if is_yes else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
