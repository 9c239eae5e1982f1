"""`python -m benchmarks.pictures`: the kept results as pictures, docs/pictures/*.svg.

Bars beside each other, each with its figure; nothing is drawn that is not in results/*.json. Where
the groups of a picture are of different sizes by far, each has a scale of its own.
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
    "raw": "#999999",
    "guarded": "#666666",
    "pgbouncer": "#56b4e9",
    "pgpool-II": "#e69f00",
    "view": "#56b4e9",
    "row security": "#e69f00",
    "in table": "#009e73",
    "proxy": "#0072b2",
    "ledger": "#0072b2",
    "little": "#999999",
    "much": "#0072b2",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    series: str  # of _COLOURS, or what begins so
    figure: float


Groups = Mapping[str, Sequence[Bar]]  # by label


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    results: str  # benchmarks/results/….json
    title: str
    unit: str
    groups: Callable[[Sequence[Row]], Groups]
    has_one_scale: bool = True


def drawn(picture: Picture, groups: Groups) -> str:
    """An SVG with a bar for each figure."""
    longest = {label: max(bar.figure for bar in bars) or 1.0 for label, bars in groups.items()}
    parts: list[str] = [_text(10, 22, f"{picture.title} ({picture.unit})", "bold")]
    y = 40
    for label, bars in groups.items():
        most = max(longest.values()) if picture.has_one_scale else longest[label]
        if len(bars) > 1:
            parts.append(_text(10, y + _BAR - 5, label, "bold"))
            y += _BAR
        for bar in bars:
            length = max(1.0, bar.figure * (_WIDTH - _LABEL - 90) / most)
            name = bar.series if len(bars) > 1 else label
            parts.append(_text(_LABEL - 8, y + _BAR - 5, name, anchor="end"))
            parts.append(
                f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR - 4}"'
                f' fill="{_colour(bar.series)}"/>'
            )
            parts.append(_text(_LABEL + length + 6, y + _BAR - 5, _figure(bar.figure)))
            y += _BAR
        y += _GAP if len(bars) > 1 else 0
    y += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}"'
        f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _figure(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


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
    return {row["target"]: [Bar(row["target"], row["per_s"])] for row in rows}


def _idle(rows: Sequence[Row]) -> Groups:
    return {
        row["target"]: [Bar(row["target"], row["idle_bytes"] / 1024)]
        for row in rows
        if row["idle_bytes"] is not None
    }


def _stalls(rows: Sequence[Row]) -> Groups:
    return {
        row["meanwhile"]: [
            Bar(name, row[key])
            for name, key in (("direct", "longest_direct_ms"), ("proxy", "longest_ms"))
            if row[key] is not None
        ]
        for row in rows
    }


def _holds(rows: Sequence[Row]) -> Groups:
    return {row["statements"]: [Bar("proxy", row["longest_ms"])] for row in rows}


def _guards(rows: Sequence[Row]) -> Groups:
    forms = {
        "raw": "raw_ms",
        "ledger": "guarded_ms",
        "in table": "in_table_ms",
        "view": "view_ms",
        "row security": "row_security_ms",
    }
    return {row["name"]: [Bar(name, row[key]) for name, key in forms.items()] for row in rows}


_PICTURES: Final[Mapping[str, Picture]] = {
    "point": Picture(
        results="hot_path_process",
        title="A point query, 8 clients",
        unit="CPU µs",
        groups=_hot_path,
    ),
    "point-host": Picture(
        results="hot_path_host",
        title="A point query, 8 clients, fdatasync",
        unit="CPU µs",
        groups=_hot_path,
    ),
    "planning": Picture(
        results="planning",
        title="Planning a new statement, by stage",
        unit="µs, medians",
        groups=_planning,
    ),
    "growth": Picture(
        results="growth",
        title="Planning under little and under much",
        unit="CPU µs",
        groups=_growth,
    ),
    "bulk": Picture(results="bulk", title="Many rows", unit="MB/s", groups=_bulk),
    "bulk-cpu": Picture(results="bulk", title="Many rows", unit="CPU s/GB", groups=_bulk_cpu),
    "connections": Picture(
        results="connections",
        title="Connect, SCRAM, query, close; 4 clients",
        unit="a second",
        groups=_connections,
    ),
    "idle": Picture(
        results="connections", title="Memory of an idle client", unit="KiB", groups=_idle
    ),
    "stalls": Picture(
        results="stalls",
        title="The longest wait of a quiet client, meanwhile",
        unit="ms",
        groups=_stalls,
    ),
    "holds": Picture(
        results="holds",
        title="The longest step of the event loop",
        unit="CPU ms",
        groups=_holds,
    ),
    "guards": Picture(
        results="guards",
        title="A million people, each statement with a scale of its own",
        unit="ms",
        groups=_guards,
        has_one_scale=False,
    ),
}


def pictures() -> Iterator[tuple[str, str]]:
    """Name and SVG of each picture that there are results for."""
    for name, picture in _PICTURES.items():
        document = kept(picture.results)
        if document is not None:
            yield name, drawn(picture, picture.groups(document["rows"]))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, svg in pictures():
        (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{name}.svg")


if __name__ == "__main__":
    main()
