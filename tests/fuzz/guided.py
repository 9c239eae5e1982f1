"""The fuzzer that looks for new code: `python -m tests.fuzz.guided {honest|hostile} FOLDER …`.

Needs atheris (not among the project's packages) and uncompiled modules; what follows the folder of
the corpus are libFuzzer's options, `-max_total_time=3600` for one. A stream that breaks a promise
is written to a file whose bytes belong into `test_conversations.py`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

atheris: Any = import_module("atheris")

with atheris.instrument_imports(include=["proxy.session", "proxy.wire", "proxy.upstream"]):
    from tests.fuzz.arena import play
    from tests.fuzz.moves import make_moves


def main(side: str, *options: str) -> None:
    is_honest = side == "honest"

    def one(data: bytes) -> None:
        play(lambda arena: make_moves(arena, data), is_honest=is_honest)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
