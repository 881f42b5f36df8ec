"""leaderboard.html: one file without scripts, fonts or images from elsewhere, so that it can be mailed or archived."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robo_rl.checkpoints.manifest import differences
from robo_rl.fleet.chart import COLOURS, chart, told
from robo_rl.fleet.table import Row

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76em; margin: 0 auto; padding: 1em; color: #1d232a }
h1 { margin: .3em 0 0; font-size: 1.7em } h2 { margin: 1.6em 0 .5em; font-size: 1.2em }
h3 { margin: 0; font-size: 1.05em }
p { margin: .3em 0 } .soft { color: #5c6670 } .wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% } th, td { padding: .25em .6em; border-bottom: 1px solid #e3e7ea }
th { text-align: left; font-weight: 600; color: #5c6670 }
.number { text-align: right; font-variant-numeric: tabular-nums }
td { white-space: nowrap } td:first-child, th:first-child { padding-left: 0 }
.cards { display: grid; gap: 1em; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24em), 1fr)) }
.card { border: 1px solid #d5dade; border-radius: 6px; padding: .9em 1em; min-width: 0 }
svg { display: block; width: 100%; height: auto; margin: .4em 0 } svg text { font-size: 13px; fill: #5c6670 }
.grid { stroke: #e3e7ea }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .3em 0 0 }
.key + span { margin-right: 1em } pre { background: #f3f5f6; padding: .6em .8em; border-radius: 4px; font-size: .85em;
white-space: pre-wrap; overflow-wrap: anywhere; margin: .5em 0 0 } summary { cursor: pointer; margin-top: .5em }
@media (max-width: 40em) { .spare { display: none } }
"""


def leaderboard(rows: Sequence[Row], environments: Mapping[str, Mapping[str, Any]]) -> str:
    """The page: the best checkpoint of each variation, every variation's checkpoints over time, the worst episodes.

    Only what was played in the same environment is ranked together. `environments` are the fields that
    `Row.environment` stands for; where runs differ in them, the page says which.
    """
    runs = list(dict.fromkeys(row.run for row in rows))
    groups: dict[_Played, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.suite, row.variation)):
        groups.setdefault(_played(row), []).append(row)
    titles = _titles(groups)
    checkpoints = len({(row.run, row.step, row.policy) for row in rows})
    counts = (
        f"{checkpoints} checkpoints of {', '.join(runs) or 'no run'}; {sum(row.episodes for row in rows):,} episodes."
    )
    parts = [
        "<h1>Leaderboard</h1>",
        f"<p class=soft>{html.escape(counts)} In brackets and as bars: 95 % intervals.</p>",
        f"<h2>Best of each variation</h2>{_best_table(groups.values(), runs, titles)}",
        _told_apart(titles, environments),
        f"<h2>Checkpoints over time</h2>{_legend(runs)}<div class=cards>",
        *(_card(group, runs, titles[played]) for played, group in groups.items()),
        "</div>",
    ]
    page = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n{page}\n</body></html>\n"
    )


def video_command(row: Row, seed: int) -> str:
    """The command that plays one episode of a row again and films it; by the suite as it was written down there."""
    suite = f"{row.run}/evaluations/{row.suite}/suite.json"
    return (
        f"robo-rl evaluate {row.run}/checkpoints/{row.step} --suite {suite} --variation {row.variation} "
        f"--episodes 1 --episode-seed {seed} --video episode-{row.step}-{seed}.mp4"
    )


_Played = tuple[str, str, str]


def _played(row: Row) -> _Played:
    return row.suite, row.variation, row.environment


def _titles(played: Iterable[_Played]) -> dict[_Played, str]:
    """The variation's name, and a number from the second environment on in which runs played it."""
    titles: dict[_Played, str] = {}
    for suite, variation, environment in played:
        number = 1 + sum(known[:2] == (suite, variation) for known in titles)
        titles[suite, variation, environment] = variation if number == 1 else f"{variation}, environment {number}"
    return titles


def _told_apart(titles: Mapping[_Played, str], environments: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each environment after a variation's first: in what it differs from that one."""
    firsts: dict[tuple[str, str], str] = {}
    lines = []
    for (suite, variation, environment), title in titles.items():
        first = firsts.setdefault((suite, variation), environment)
        if environment == first:
            continue
        if first in environments and environment in environments:
            what = "; ".join(differences(environments[first], environments[environment]))
        else:
            what = "suite.json no longer says what it was"
        lines.append(
            f"<p>{html.escape(title)}: not ranked with {html.escape(variation)}, since it is not the same environment "
            f"(there -&gt; here): <span class=soft>{html.escape(what)}</span></p>"
        )
    return "".join(lines)


def _best(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: (row.score, row.return_mean, row.step))


def _best_table(groups: Iterable[Sequence[Row]], runs: Sequence[str], titles: Mapping[_Played, str]) -> str:
    several = len(runs) > 1
    head = f"<tr><th>Variation{'<th>Run' if several else ''}<th class=number>Step<th class=number>Score"
    cells = [f"{head}<th class='number spare'>Return<th class='number spare'>Episodes"]
    for group in groups:
        best = _best(group)
        returned = f"{best.return_mean:.1f} [{best.return_low:.1f}, {best.return_high:.1f}]"
        kept = "" if best.is_there else " <span class=soft>(no longer kept)</span>"
        cells.append(
            f"<tr><td>{html.escape(titles[_played(best)])}{f'<td>{html.escape(best.run)}' if several else ''}"
            f"<td class=number>{best.step:,}{kept}<td class=number>{told(best)}"
            f"<td class='number spare'>{returned}<td class='number spare'>{best.episodes}"
        )
    return f"<div class=wide><table>{''.join(cells)}</table></div>"


def _legend(runs: Sequence[str]) -> str:
    if len(runs) < 2:
        return ""
    keys = [
        f'<i class=key style="background: {COLOURS[number % len(COLOURS)]}"></i><span>{html.escape(run)}</span>'
        for number, run in enumerate(runs)
    ]
    return f"<p>{''.join(keys)}</p>"


def _card(group: Sequence[Row], runs: Sequence[str], name: str) -> str:
    """One variation: its chart, and the worst episodes of its best checkpoint."""
    # Every run keeps its colour, whether or not it was judged in this variation
    lines = {run: [row for row in group if row.run == run] for run in runs}
    best = _best(group)
    what = "success rate" if best.success_rate is not None else "return"
    title = f"<h3>{html.escape(name)}</h3><p class=soft>suite {html.escape(best.suite)}, {what} over "
    return f"<section class=card>{title}{best.episodes} episodes each</p>{chart(lines)}{_worst(best)}</section>"


def _worst(row: Row) -> str:
    cells = ["<tr><th class=number>Seed<th>Kind<th class=number>Return<th class=number>Steps"]
    cells[0] += "" if row.success_rate is None else "<th>Success"
    for episode in row.worst:
        success = "" if row.success_rate is None else f"<td>{'yes' if episode['success'] else 'no'}"
        cells.append(
            f"<tr><td class=number>{episode['seed']}<td>{html.escape(str(episode['kind']))}"
            f"<td class=number>{episode['return']:.2f}<td class=number>{episode['length']}{success}"
        )
    if row.is_there:
        # Broken before its flags, as a shell takes it, and not in the middle of one
        command = html.escape(video_command(row, row.worst[0]["seed"]).replace(" --", " \\\n  --"))
        film = f"<p>To film the worst (for another, change the seed):</p><pre>{command}</pre>"
    else:
        film = "<p>This checkpoint is no longer kept, so none of them can be filmed.</p>"
    where = html.escape(f"{row.run}, step {row.step:,}")
    table = f"<div class=wide><table>{''.join(cells)}</table></div>"
    return f"<details><summary>Worst episodes of the best checkpoint ({where})</summary>{table}{film}</details>"
