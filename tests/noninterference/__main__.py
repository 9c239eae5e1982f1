"""`python -m tests.noninterference`: runs as long as one likes, and replays of what they found.

--pairs N         ask N statements of both sides (default 200,000); 0: rounds without end
--seed TEXT       the run with this seed (default: a new one)
--first N         begin with statement N: its block of 125 is enough to see it again
--processes N     in how many processes (default: two)
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from typing import Final

from tests.noninterference.report import Report
from tests.noninterference.run import run
from tests.noninterference.trial import STATEMENTS_PER_DATA, Numbers

_PAIRS_PER_ROUND: Final = 5_000  # then the report so far is printed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.noninterference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    _tell(f"seed {asked.seed}")
    first = asked.first // STATEMENTS_PER_DATA * STATEMENTS_PER_DATA
    last = first + asked.pairs if asked.pairs else sys.maxsize
    total, began = Report(), time.monotonic()
    for start in itertools.count(first, _PAIRS_PER_ROUND):
        numbers = Numbers(min(_PAIRS_PER_ROUND, last - start), start)
        report = run(asked.seed, numbers, asked.processes)
        total.add(report)
        _tell(f"{time.monotonic() - began:.0f} s; {total}\n")
        for finding in report.findings:
            _tell(f"--seed {asked.seed} --first {finding.number}\n{finding}\n")
        if start + _PAIRS_PER_ROUND >= last:
            break
    return 1 if total.findings else 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
