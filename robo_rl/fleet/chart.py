"""Score over environment steps as SVG: one line per run, a bar for each checkpoint's 95 % interval."""

import html
import math
from collections.abc import Callable, Mapping, Sequence

from robo_rl.fleet.table import Row

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40
"""Size of a chart and the room for its axes (units of the drawing, which is scaled to the page)."""

_Scale = Callable[[float], float]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of the runs, in turn: the palette of Okabe and Ito, which most colour-blind people can tell apart."""


def chart(runs: Mapping[str, Sequence[Row]]) -> str:
    """Name of a run -> its rows of one variation, ascending by step. Hollow points: checkpoints no longer kept."""
    rows = [row for run in runs.values() for row in run]
    assert rows, "a chart needs a row"
    is_rate = rows[0].success_rate is not None
    ticks = _rate_ticks(min(row.low for row in rows)) if is_rate else _ticks(rows)
    first, last = min(row.step for row in rows), max(row.step for row in rows)

    def x(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * share

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [_axes(ticks, y, is_rate)]
    steps = sorted({row.step for row in rows})
    for step in dict.fromkeys((first, steps[len(steps) // 2], last)):
        anchor = "start" if first == step < last else "end" if first < step == last else "middle"
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">{step:,}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">environment steps</text>')
    for number, run in enumerate(runs.values()):
        parts.append(_line(run, COLOURS[number % len(COLOURS)], x, y, is_rate))
    label = html.escape(f"{'Success rate' if is_rate else 'Return'} of {len(rows)} checkpoints over environment steps")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def told(row: Row) -> str:
    """The score of a row with its interval, as people read it."""
    if row.success_rate is None:
        return f"{row.score:.1f} [{row.low:.1f}, {row.high:.1f}]"
    return f"{row.score:.1%} [{100 * row.low:.1f}, {100 * row.high:.1f}]"


def _axes(ticks: Sequence[float], y: _Scale, is_rate: bool) -> str:
    parts = []
    for tick in ticks:
        text = f"{tick:.0%}" if is_rate else f"{tick:g}"
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    return "".join(parts)


def _line(rows: Sequence[Row], colour: str, x: _Scale, y: _Scale, is_rate: bool) -> str:
    points = " ".join(f"{x(row.step):.1f},{y(row.score):.1f}" for row in rows)
    parts = [f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>']
    for row in rows:
        at, low, high = x(row.step), y(row.low), y(row.high)
        bar = f"M{at:.1f} {low:.1f}V{high:.1f}M{at - 4:.1f} {low:.1f}h8M{at - 4:.1f} {high:.1f}h8"
        fill = colour if row.is_there else "#fff"
        parts.append(
            f"<g><title>{html.escape(f'{row.run}, step {row.step:,}: {told(row)}')}</title>"
            f'<path d="{bar}" stroke="{colour}" stroke-opacity=".55"/>'
            f'<circle cx="{at:.1f}" cy="{y(row.score):.1f}" r="3.5" fill="{fill}" stroke="{colour}"/></g>'
        )
    return "".join(parts)


def _rate_ticks(lowest: float) -> list[float]:
    """Ticks of a success rate up to 1, from 0 or as far up as all intervals allow; the labels tell which."""
    start = next(start for start in (0.9, 0.8, 0.5, 0.0) if lowest >= start or start == 0)
    return _steps(start, 1.0, 0.25 if start == 0 else (1 - start) / 5)


def _ticks(rows: Sequence[Row]) -> list[float]:
    """Round numbers that hold every interval of a return."""
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    span = max(high - low, 1e-9 + abs(high) * 0.01)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * part for part in (1, 2, 5, 10) if power * part * 4 >= span)
    return _steps(math.floor(low / step) * step, math.ceil(high / step) * step, step)


def _steps(start: float, end: float, step: float) -> list[float]:
    count = max(1, round((end - start) / step))
    return [round(start + step * number, 10) for number in range(count + 1)]
