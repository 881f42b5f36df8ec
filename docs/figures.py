"""Draws the README's pictures from run folders: `python docs/figures.py grasp|losses ...`; needs the extra `plots`.

    python docs/figures.py grasp RUN [RUN ...] OUT.png          success and return of a task, one curve for each run
    python docs/figures.py losses OUT.png NAME=RUN [NAME=RUN ...]   return per task, one colour for each NAME

Every point is an evaluation: `evaluations/STEP.json` of a run, with the 95 % interval written there (Wilson's for
success, a bootstrap over episodes for the return). Nothing is smoothed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("agg")  # files only; no screen is needed

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import UserError

# Okabe and Ito's colours, told apart by colour-blind readers too; the yellow is left out, too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDTH_PIXELS = 1400
"""Twice the width that the README shows, so that the picture stays sharp on dense screens."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


class Curve(NamedTuple):
    """The evaluations of one run. All arrays are `[n]`; low and high are the ends of the 95 % intervals.

    env_steps: environment steps    value: mean return (environment units) or success rate (0 to 1)
    """

    env_steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve(records: dict[int, dict[str, Any]], quantity: str) -> Curve | None:
    """The curve of `quantity`, "success" or "return", from step -> record; None if the task has no such quantity."""
    center = {"success": "rate", "return": "mean"}[quantity]
    steps = sorted(records)
    entries = [records[step][quantity] for step in steps]
    if not entries or None in entries:
        return None
    value, low, high = (np.array([entry[name] for entry in entries]) for name in (center, "low", "high"))
    return Curve(np.array(steps), value, low, high)


def evaluations(run: Path) -> dict[int, dict[str, Any]]:
    """step -> evaluation record of a run folder.

    Raises:
        UserError: the folder holds no evaluation.
    """
    records = RunFolder(run).evaluation_records()
    if not records:
        raise UserError(f"{run} holds no evaluations/STEP.json. Give the folder of a run that was evaluated.")
    return records


def draw(axes: Axes, curve: Curve, color: str, label: str | None) -> None:
    """One curve with its intervals as a band."""
    axes.fill_between(curve.env_steps, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
    axes.plot(curve.env_steps, curve.value, color=color, label=label, linewidth=1.6, marker="o", markersize=3)


def label_axes(axes: Axes, quantity: str) -> None:
    """Name and scale both axes."""
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    if quantity == "success":
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def draw_grasp(runs: Sequence[Path], out: Path) -> None:
    """Success and return, side by side, one curve for each run; written to `out`.

    Raises:
        UserError: a run without evaluations, or of a task that does not know success.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    for index, run in enumerate(runs):
        records = evaluations(run)
        success, episode_return = curve(records, "success"), curve(records, "return")
        if success is None or episode_return is None:
            raise UserError(f"{run} is of a task without success. Draw it with: figures.py losses OUT.png NAME={run}")
        color = COLORS[index % len(COLORS)]
        label = f"seed {RunFolder(run).config()['seed']}" if len(runs) > 1 else None
        draw(left, success, color, label)
        draw(right, episode_return, color, label)
    for axes, quantity in ((left, "success"), (right, "return")):
        label_axes(axes, quantity)
        axes.set_title({"success": "Success (95 % interval)", "return": "Return (95 % interval)"}[quantity])
    if len(runs) > 1:
        left.legend(loc="lower right")
    save(figure, out)


def draw_losses(named_runs: Sequence[tuple[str, Path]], out: Path) -> None:
    """Return of the evaluations, a panel for each task and a colour for each name; written to `out`.

    Several runs of one name and task are drawn in the same colour, one curve each.

    Raises:
        UserError: a run without evaluations.
    """
    names = list(dict.fromkeys(name for name, _ in named_runs))
    panels: dict[str, list[tuple[str, Curve]]] = {}
    for name, run in named_runs:
        records = evaluations(run)
        task = records[max(records)]["env"]
        found = curve(records, "return")
        assert found is not None, "every evaluation holds a return"
        panels.setdefault(task, []).append((name, found))
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(7, 0.5 + 2.1 * rows), layout="constrained", squeeze=False, sharex="all"
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (task, curves) in zip(grid.flat, panels.items(), strict=False):
        for name, one in curves:
            draw(axes, one, COLORS[names.index(name) % len(COLORS)], name)
        label_axes(axes, "return")
        if task.startswith("suite/"):
            axes.set_ylim(0, 1000)  # the range of every suite task: panels compare at a glance
        axes.set_title(task.removeprefix("suite/"))
    # The panels share this axis, and the first one drawn would cut off the others' longer curves.
    longest = max(one.env_steps.max() for curves in panels.values() for _, one in curves)
    grid[0, 0].set_xlim(0, 1.03 * longest)
    for row in grid:
        row[0].set_ylabel("return")
    handles = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend([handles[name] for name in names], names, loc="outside upper center", ncols=len(names))
    save(figure, out)


def save(figure: Any, out: Path) -> None:
    """Write the picture, `WIDTH_PIXELS` wide, and close it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=WIDTH_PIXELS / figure.get_figwidth())
    plt.close(figure)


def named_run(text: str) -> tuple[str, Path]:
    """`NAME=RUN` as a pair.

    Raises:
        argparse.ArgumentTypeError: there is no `=`, or nothing on one side of it.
    """
    name, _, run = text.partition("=")
    if not name or not run:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=RUN, as in hl_gauss=runs/cartpole")
    return name, Path(run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw one picture; 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="figures.py", description="Draw the README's pictures from run folders.")
    commands = parser.add_subparsers(dest="command", required=True)
    grasp = commands.add_parser("grasp", help="success and return, one curve for each run")
    grasp.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    grasp.add_argument("out", type=Path, metavar="OUT.png")
    losses = commands.add_parser("losses", help="return per task, one colour for each name")
    losses.add_argument("out", type=Path, metavar="OUT.png")
    losses.add_argument("runs", nargs="+", type=named_run, metavar="NAME=RUN")
    options = parser.parse_args(arguments)
    try:
        with plt.rc_context(STYLE):
            (draw_grasp if options.command == "grasp" else draw_losses)(options.runs, options.out)
    except UserError as error:
        print(f"figures.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
