"""leaderboard.html: one file without scripts, fonts or images from elsewhere, so that it can be mailed or archived."""

import html
import itertools
from collections.abc import Sequence

from robo_rl.fleet.table import Row

WIDTH, HEIGHT, MARGIN = 640, 220, 44
"""Size of a chart and the room for its axes (pixels)."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 1.5em } th, td { padding: .2em .8em; border-bottom: 1px solid #ddd }
th { text-align: left } td.number { text-align: right; font-variant-numeric: tabular-nums }
svg text { font-size: 11px; fill: #555 } code { background: #f3f3f3; padding: 0 .3em }
"""


def leaderboard(rows: Sequence[Row]) -> str:
    """The page: the best checkpoint of each variation, each run's checkpoints over time, the worst episodes."""
    parts = ["<h1>Leaderboard</h1>", _best_table(rows)]
    for (run, suite, variation), group in itertools.groupby(rows, key=lambda row: (row.run, row.suite, row.variation)):
        these = list(group)
        parts.append(f"<h2>{html.escape(f'{run}: {variation}')}</h2>")
        parts.append(f"<p>Suite {html.escape(suite)}, {these[-1].episodes} episodes each, bars: 95 % intervals.</p>")
        parts.append(chart(these))
        parts.append(_worst_table(max(these, key=lambda row: (row.score, row.step))))
    page = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
        f"<style>{_STYLE}</style></head><body>\n{page}\n</body></html>\n"
    )


def chart(rows: Sequence[Row]) -> str:
    """Score over environment steps as SVG: a line through the checkpoints of one run and variation, with intervals."""
    steps, lows, highs = [row.step for row in rows], [row.low for row in rows], [row.high for row in rows]
    left, right = min(steps), max(steps)
    bottom, top = min(lows), max(highs)
    if rows[0].success_rate is not None:
        bottom, top = 0.0, 1.0

    def x(step: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * ((step - left) / (right - left) if right > left else 0.5)

    def y(value: float) -> float:
        return HEIGHT - MARGIN / 2 - (HEIGHT - MARGIN) * ((value - bottom) / (top - bottom) if top > bottom else 0.5)

    marks = [
        f'<polyline fill="none" stroke="#06c" points="{" ".join(f"{x(r.step):.1f},{y(r.score):.1f}" for r in rows)}"/>'
    ]
    for row in rows:
        said = html.escape(f"step {row.step}: {row.score:.3f} [{row.low:.3f}, {row.high:.3f}]")
        marks.append(
            f'<g><title>{said}</title><line x1="{x(row.step):.1f}" x2="{x(row.step):.1f}" y1="{y(row.low):.1f}" '
            f'y2="{y(row.high):.1f}" stroke="#9bd"/><circle cx="{x(row.step):.1f}" cy="{y(row.score):.1f}" r="3" '
            f'fill="{"#06c" if row.is_there else "#aaa"}"/></g>'
        )
    axes = (
        f'<text x="2" y="{y(top) + 4:.0f}">{top:.3g}</text><text x="2" y="{y(bottom):.0f}">{bottom:.3g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 4}">{left:,}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 4}" text-anchor="end">{right:,} environment steps</text>'
    )
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(marks)}{axes}</svg>'


def video_command(row: Row, seed: int) -> str:
    """The command that plays one episode of a row again and films it; by the suite as it was written down there."""
    suite = f"{row.run}/evaluations/{row.suite}/suite.json"
    return (
        f"robo-rl evaluate {row.run}/checkpoints/{row.step} --suite {suite} --variation {row.variation} "
        f"--episodes 1 --episode-seed {seed} --video episode-{row.step}-{seed}.mp4"
    )


def _best_table(rows: Sequence[Row]) -> str:
    cells = ["<tr><th>Variation<th>Run<th>Step<th>Success<th>Return<th>Episodes"]
    for (suite, variation), group in itertools.groupby(
        sorted(rows, key=lambda row: (row.suite, row.variation)), key=lambda row: (row.suite, row.variation)
    ):
        best = max(group, key=lambda row: (row.score, row.step))
        success = "" if best.success_rate is None else f"{best.score:.1%} [{best.low:.1%}, {best.high:.1%}]"
        returned = f"{best.return_mean:.1f} [{best.return_low:.1f}, {best.return_high:.1f}]"
        where = f"{best.step:,}" + ("" if best.is_there else " (no longer kept)")
        cells.append(
            f"<tr><td>{html.escape(f'{suite}: {variation}')}<td>{html.escape(best.run)}<td class=number>{where}"
            f"<td class=number>{success}<td class=number>{returned}<td class=number>{best.episodes}"
        )
    return f"<h2>Best of each variation</h2><table>{''.join(cells)}</table>"


def _worst_table(row: Row) -> str:
    cells = ["<tr><th>Seed<th>Kind<th>Return<th>To see it"]
    for episode in row.worst:
        command = html.escape(video_command(row, episode["seed"])) if row.is_there else "the checkpoint is not kept"
        cells.append(
            f"<tr><td class=number>{episode['seed']}<td>{html.escape(str(episode['kind']))}"
            f"<td class=number>{episode['return']:.2f}<td><code>{command}</code>"
        )
    return f"<p>Worst episodes of the best checkpoint, step {row.step:,}:</p><table>{''.join(cells)}</table>"
