"""`python -m benchmarks.pictures`: the kept results as pictures, docs/pictures/*.svg.

Bars beside each other, each with its figure; nothing is drawn that is not in results/*.json.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from benchmarks.kept import kept

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_WIDTH: Final = 720
_LABEL: Final = 230  # where the bars begin
_BAR: Final = 18
_GAP: Final = 10
# Told apart by everybody (Okabe and Ito); the proxy's own is the darkest.
_COLOURS: Final = {
    "direct": "#999999",
    "guarded": "#666666",
    "pgbouncer": "#56b4e9",
    "pgpool-II": "#e69f00",
    "proxy": "#0072b2",
    "little": "#999999",
    "much": "#0072b2",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    series: str  # of _COLOURS, or what begins so
    figure: float


Groups = Mapping[str, Sequence[Bar]]  # by label


def picture(title: str, unit: str, groups: Groups) -> str:
    """An SVG with a bar for each figure."""
    most = max((bar.figure for bars in groups.values() for bar in bars), default=1.0) or 1.0
    scale = (_WIDTH - _LABEL - 90) / most
    parts: list[str] = [_text(10, 22, f"{title} ({unit})", "bold")]
    y = 40
    for label, bars in groups.items():
        parts.append(_text(10, y + _BAR - 5, label, "bold"))
        for bar in bars:
            length = max(1.0, bar.figure * scale)
            parts.append(_text(_LABEL - 8, y + _BAR - 5, bar.series, anchor="end"))
            parts.append(
                f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR - 4}"'
                f' fill="{_colour(bar.series)}"/>'
            )
            parts.append(_text(_LABEL + length + 6, y + _BAR - 5, f"{bar.figure:,.3g}"))
            y += _BAR
        y += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}"'
        f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _colour(series: str) -> str:
    return next((colour for name, colour in _COLOURS.items() if series.startswith(name)), "#0072b2")


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


# --- one for each benchmark -----------------------------------------------------------------------


def _medians(rows: Sequence[Row], group: Callable[[Row], str], figure: str) -> Groups:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        found[group(row), row["target"]].append(row[figure])
    groups: dict[str, list[Bar]] = defaultdict(list)
    for (label, target), figures in found.items():
        groups[label].append(Bar(target, statistics.median(figures)))
    return groups


def _hot_path(rows: Sequence[Row]) -> Groups:
    return _medians([row for row in rows if row["clients"] == 8], lambda row: row["mode"], "cpu_us")


def _planning(rows: Sequence[Row]) -> Groups:
    return {
        f"{row['statement']}, {row['characters']} characters": [
            Bar(stage, us) for stage, us in row["stages_us"].items()
        ]
        for row in rows
        if row["stages_us"] and row["statement"] in ("join", "point")
    }


def _growth(rows: Sequence[Row]) -> Groups:
    return {
        f"{row['thing']}, {row['little']:,} to {row['much']:,}": [
            Bar("little", row["plan_us"][0]),
            Bar("much", row["plan_us"][1]),
        ]
        for row in rows
    }


def _bulk(rows: Sequence[Row]) -> Groups:
    return _medians(rows, lambda row: row["form"], "megabytes_per_s")


def _bulk_cpu(rows: Sequence[Row]) -> Groups:
    return _medians(rows, lambda row: row["form"], "cpu_s_per_gigabyte")


def _connections(rows: Sequence[Row]) -> Groups:
    return _medians(rows, lambda _: "made a second", "per_s")


def _stalls(rows: Sequence[Row]) -> Groups:
    return {
        row["meanwhile"]: [
            Bar(name, row[key])
            for name, key in (("direct", "longest_direct_ms"), ("proxy", "longest_ms"))
            if row[key] is not None
        ]
        for row in rows
    }


# file name: results, title, unit, what is drawn
_PICTURES: Final[dict[str, tuple[str, str, str, Callable[[Sequence[Row]], Groups]]]] = {
    "point": ("hot_path_process", "A point query, 8 clients", "CPU µs", _hot_path),
    "point-host": ("hot_path_host", "A point query, 8 clients, fdatasync", "CPU µs", _hot_path),
    "planning": ("planning", "Planning a new statement, by stage", "µs, medians", _planning),
    "growth": ("growth", "Planning under little and under much", "CPU µs", _growth),
    "bulk": ("bulk", "Many rows", "MB/s", _bulk),
    "bulk-cpu": ("bulk", "Many rows", "CPU s/GB", _bulk_cpu),
    "connections": ("connections", "Connect, SCRAM, query, close; 4 clients", "1/s", _connections),
    "stalls": ("stalls", "The longest wait of a quiet client, meanwhile", "ms", _stalls),
}


def pictures() -> Iterator[tuple[str, str]]:
    """Name and SVG of each picture that there are results for."""
    for name, (results, title, unit, draw) in _PICTURES.items():
        document = kept(results)
        if document is not None:
            yield name, picture(title, unit, draw(document["rows"]))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, drawn in pictures():
        (FOLDER / f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(f"docs/pictures/{name}.svg")


if __name__ == "__main__":
    main()
