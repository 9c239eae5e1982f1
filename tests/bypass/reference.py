"""The table of docs/reference/bypass.md, made of the files' own words.

python -m tests.bypass.reference        writes the table, and how many attempts there are
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
DOCUMENT: Final = FOLDER.parents[1] / "docs" / "reference" / "bypass.md"
_TABLE: Final = re.compile(r"\| file \| what is tried \|\n(?:\|.*\n)+")
_ROUNDED_TO: Final = 100
_PARAGRAPH: Final = "\n\n"


def table() -> str:
    """A line for each file: its name, and the first sentence of what it says of itself."""
    lines = ["| file | what is tried |", "|---|---|"]
    for file in sorted(FOLDER.glob("test_*.py")):
        said = ast.get_docstring(ast.parse(file.read_text())) or ""
        lines.append(
            f"| `{file.name}` | {' '.join(said.split(_PARAGRAPH)[0].split()).rstrip('.')} |"
        )
    return "\n".join(lines) + "\n"


def attempts() -> int:
    """How many tests pytest finds here."""
    told = subprocess.run(
        [sys.executable, "-m", "pytest", str(FOLDER), "--collect-only", "-q"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"(\d+) tests collected", told)
    if found is None:
        raise RuntimeError(told[-500:])
    return int(found[1])


def main() -> None:
    text = _TABLE.sub(lambda _: table(), DOCUMENT.read_text())
    number = attempts() // _ROUNDED_TO * _ROUNDED_TO
    text = re.sub(r"more than [\d,]+ of them", f"more than {number:,} of them", text)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
