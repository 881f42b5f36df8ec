"""The tables of the report, section by section; every text from outside is escaped by the pieces of `page`."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from robo_rl.compare.names import counted, group_name, listed, loss_name, reference_name, task_name
from robo_rl.compare.page import bullets, download, heading, paragraph, preformatted, table
from robo_rl.compare.provenance import held_equal, is_mixed, origin
from robo_rl.compare.results import CellState, Results
from robo_rl.compare.statistics import AGGREGATES
from robo_rl.compare.wording import estimate, interval, signed

NONE = "\N{EN DASH}"
"""What a table shows where there is no number."""


def aggregates(summary: Mapping[str, Any]) -> str:
    """The aggregates of every group and how each compares with its reference."""
    groups = [entry for entry in summary["groups"] if "iqm" in entry]
    if not groups:
        return ""
    over = next((reference_name(entry) for entry in groups if "reference" in entry), "reference")
    text = (
        f"Final scores over {counted(len(summary['tasks']), 'task')} "
        f"({listed([task_name(task) for task in summary['tasks']])}); scale: {summary['scale']}. "
        "In brackets: 95 % stratified bootstrap intervals over seeds."
    )
    compared = [
        [
            group_name(entry["loss"], entry["axes"]),
            estimate(entry["iqm"]),
            signed(entry["iqm_difference"]) if "reference" in entry else NONE,
            estimate(entry["probability_of_improvement"]) if "reference" in entry else NONE,
        ]
        for entry in groups
    ]
    others = [
        [
            group_name(entry["loss"], entry["axes"]),
            *(estimate(entry[name]) for name in AGGREGATES[1:]),
            str(len(entry["seeds"])),
        ]
        for entry in groups
    ]
    theirs = [
        [row["method"], f"{row['mean']:.2f}", f"{row['median']:.2f}", NONE, str(row["seeds"])]
        for row in summary["published"]
    ]
    return (
        heading("All tasks together")
        + paragraph(text + (" Grey: published means of the same tasks, sources below." if theirs else ""))
        + table(["Loss", "IQM", f"IQM less that of {over}", f"P(better than {over})"], compared)
        + table(
            ["Loss", "Mean", "Median over tasks", "Optimality gap", "Seeds"],
            others + theirs,
            theirs=range(len(others), len(others) + len(theirs)),
        )
    )


def overview(summary: Mapping[str, Any]) -> str:
    """The means of every group on every task."""
    means = {
        (task_name(entry["task"]), group_name(row["loss"], row["axes"])): _mean(entry, row["value"])
        for entry in summary["per_task"]
        for row in entry["groups"]
    }
    text = f"Means over seeds after {summary['env_steps']:,} environment steps."
    return paragraph(text) + _by_task(summary, means)


def differences(summary: Mapping[str, Any]) -> str:
    """By how much every group differs from its reference on every task; empty where there is none to differ from."""
    found = [(entry, row) for entry in summary["per_task"] for row in entry["groups"] if "difference" in row]
    if not found:
        return ""
    told = {
        (task_name(entry["task"]), group_name(row["loss"], row["axes"])): signed(row["difference"], _digits(entry))
        for entry, row in found
    }
    text = (
        f"What lies above the mean of {reference_name(found[0][1])} on the same task, with Welch's 95 % interval of "
        "the difference, which is wide where seeds are few. Each interval holds by itself: of twenty one is "
        f"expected to miss, and here are {len(found)}."
    )
    return f'<div class="beside">{_by_task(summary, told)}{paragraph(text, "note")}</div>'


def _by_task(summary: Mapping[str, Any], told: Mapping[tuple[str, str], str]) -> str:
    """A table of (task, group) -> text; whichever are more are the rows, so that it stays narrow."""
    tasks = [task_name(entry["task"]) for entry in summary["per_task"]]
    groups = list(dict.fromkeys(group for _, group in told))
    if len(groups) > len(tasks):
        header, rows = ["Loss", *tasks], [[group, *(told.get((t, group), NONE) for t in tasks)] for group in groups]
    else:
        header, rows = ["Task", *groups], [[task, *(told.get((task, g), NONE) for g in groups)] for task in tasks]
    return table(header, rows)


def task_heading(entry: Mapping[str, Any]) -> str:
    """The name of a task and the unit of its numbers."""
    return heading(f"{task_name(entry['task'])} ({entry['quantity']})", 3)


def task(entry: Mapping[str, Any]) -> str:
    """Every group's mean with its interval and, below, what was published at the same number of steps.

    Success rates also have Wilson's interval over all episodes: where every seed reaches 1, resampling seeds gives
    [1, 1], which is narrower than what so many episodes can show.
    """
    ours = [
        [
            group_name(row["loss"], row["axes"]),
            _mean(entry, row["value"]),
            interval(_mean(entry, row["low"]), _mean(entry, row["high"])),
            str(len(row["seeds"])),
        ]
        for row in entry["groups"]
    ]
    if not ours:
        return paragraph("No cell of this task is finished.", "note")
    # Only what was published at the step of our own final scores may stand beside them.
    last = max(step for row in entry["groups"] for step in row["curve"]["env_steps"])
    at_end = max((row["env_steps"] for row in entry["published"]), default=0)
    beside = [row for row in entry["published"] if row["env_steps"] == at_end and abs(at_end - last) <= 0.01 * last]
    theirs = [
        [
            row["method"],
            f"{row['mean']:.0f}",
            NONE if row["std"] is None else f"s.d. {row['std']:.0f}",
            str(row["seeds"]),
        ]
        for row in beside
    ]
    grey = range(len(ours), len(ours) + len(theirs))
    found = table(["Method", "Mean", "95 % interval; s.d. of theirs", "Seeds"], ours + theirs, theirs=grey)
    if "wilson" not in entry["groups"][0]:
        return found
    rates = [
        [
            group_name(row["loss"], row["axes"]),
            interval(_mean(entry, row["wilson"]["low"]), _mean(entry, row["wilson"]["high"])),
            f"{row['wilson']['episodes']:,}",
        ]
        for row in entry["groups"]
    ]
    return f"<div>{found}{table(['Method', 'Wilson interval of the pooled rate', 'Episodes'], rates)}</div>"


def sources(summary: Mapping[str, Any]) -> str:
    """Where the published values come from."""
    rows = [row for entry in summary["per_task"] for row in entry["published"]]
    if not rows:
        return ""
    methods: dict[str, list[str]] = {}
    for row in rows:
        methods.setdefault(row["method"], [])
        if row["source"] not in methods[row["method"]]:
            methods[row["method"]].append(row["source"])
    text = (
        "In grey: means over seeds computed from the result files in the authors' repositories, at environment steps. "
        "Networks, updates per step and evaluation differ from ours and from each other; they are a yardstick, not a "
        "part of the comparison. UTD is updates per agent step, and an agent step is two environment steps in most of "
        "them. File and commit of each:"
    )
    told = [f"{method}: {'; '.join(found)}" for method, found in methods.items()]
    return heading("Published values", 3) + paragraph(text, "note") + bullets(told)


def unfinished(results: Results) -> str:
    """Every cell that is not finished, with what went wrong."""
    rows = [
        [_cell_name(cell, results), cell.status, str(cell.record.get("attempts", 0)), cell.record.get("error") or NONE]
        for cell in results.cells
        if cell.status != "finished"
    ]
    if not rows:
        return heading("Failed cells") + paragraph("None: every planned cell is finished.")
    failed = sum(cell.status == "failed" for cell in results.cells)
    text = f"{failed} failed, {len(rows) - failed} running or not begun, of {len(results.cells)} planned."
    return (
        heading("Failed and unfinished cells")
        + paragraph(text)
        + table(["Cell", "State", "Attempts", "Error"], rows, words=(0, 1, 3))
    )


def cells(results: Results) -> str:
    """What each cell took, and what share of its targets the support clipped."""
    rows, seconds = [], 0.0
    origins = [origin(cell.record) for cell in results.cells]
    varied = [name for name in dict.fromkeys(itertools.chain(*origins)) if is_mixed(name, origins)]
    for cell, made_by in zip(results.cells, origins, strict=True):
        record = cell.record
        clipped = [value for value in (record.get("clipped_fraction") or {}).values() if value is not None]
        seconds += record.get("seconds") or 0.0
        rows.append(
            [
                _cell_name(cell, results),
                cell.status,
                f"{max(clipped):.2%}" if clipped else NONE,
                _told(record.get("updates"), "{:,}"),
                _told(record.get("updates_per_second"), "{:,.0f}"),
                _told(record.get("seconds"), "{:,.0f}"),
                *(made_by.get(name, NONE) for name in varied),
            ]
        )
    text = (
        f"{seconds / 3600:.2f} hours of cells in all (cells that ran side by side count each). Clipped: the largest "
        "share, over seeds, of the targets' mass outside the support at the end of training; above 1 % values are "
        "biased. A cell trains all its seeds at once; updates are counted for each seed."
    )
    header = ["Cell", "State", "Clipped", "Updates", "Updates/s", "Seconds", *varied]
    words = (0, 1, *range(len(header) - len(varied), len(header)))
    return heading("Clipped targets and compute") + paragraph(text) + table(header, rows, words=words)


def protocol(summary: Mapping[str, Any], results: Results) -> str:
    """Seeds, evaluation and statistics."""
    plan, boot = results.plan, summary["bootstrap"]
    tuning = ", ".join(map(str, summary["tuning_seeds"])) or "none were named"
    rows = [
        ["Reporting seeds", ", ".join(map(str, summary["reporting_seeds"]))],
        ["Tuning seeds", f"{tuning} (none of them is a reporting seed)" if summary["tuning_seeds"] else tuning],
        ["Budget", f"{summary['env_steps']:,} environment steps for each seed"],
        ["Losses", listed([loss_name(loss) for loss in summary["losses"]])],
        ["Held equal", held_equal(results)],
        *([f"{loss_name(loss)} alone", _flat(own)] for loss, own in (plan.get("heads") or {}).items()),
        *([axis, ", ".join(map(str, values))] for axis, values in summary["axes"].items()),
        ["Evaluations", f"{_plan(plan, 'evaluation_episodes')} episodes every {_plan(plan, 'evaluate_every')} steps"],
        ["Final evaluation", f"{_plan(plan, 'final_evaluation_episodes')} episodes; never the best so far"],
        [
            "Intervals",
            f"{boot['library']}: {boot['repetitions']:,} resamples for aggregates and differences, "
            f"{boot['repetitions_of_pairs_profiles_curves_and_tasks']:,} for the rest; seed {boot['seed']}. "
            f"Differences on single tasks: {boot['differences_of_single_tasks']}",
        ],
    ]
    return heading("Protocol") + table(["What", "How"], rows, words=(0, 1))


def reproduce(results: Results) -> str:
    """The command, the configuration, and the machine it ran on."""
    elsewhere = ("config", "training", "command", "equal_part_sha256", "reporting_seeds", "tuning_seeds")
    rows = [[name, _flat(value)] for name, value in results.about.items() if name not in elsewhere]
    command = results.about.get("command")
    command = " ".join(command) if isinstance(command, list) else command
    return (
        heading("How to reproduce it")
        + (preformatted(str(command)) if command else paragraph("The command was not recorded.", "note"))
        + table(["Recorded", "Value"], rows, words=(0, 1))
        + paragraph("The configuration of the comparison, every default filled in:")
        + _yaml(results.plan)
        + paragraph("The training configuration that all cells share:")
        + _yaml(results.about.get("training", {}))
    )


def _yaml(data: Mapping[str, Any]) -> str:
    return preformatted(yaml.safe_dump(dict(data), sort_keys=False, default_flow_style=None, width=88))


def raw(folder: Path) -> str:
    """The raw scores and the summary, held in the page itself."""
    links = [
        download("scores.csv", "text/csv", (folder / "scores.csv").read_bytes()),
        download("summary.json", "application/json", (folder / "summary.json").read_bytes()),
    ]
    text = "Every evaluation of every seed, and every number above; both are inside this page."
    return heading("Raw scores") + paragraph(text) + f"<p>{' · '.join(links)}</p>"


def _mean(entry: Mapping[str, Any], value: float) -> str:
    return f"{value:.{_digits(entry)}f}"


def _digits(entry: Mapping[str, Any]) -> int:
    """Digits after the point of a task's numbers."""
    return 2 if entry["quantity"] == "success rate" else 0


def _cell_name(cell: CellState, results: Results) -> str:
    own = f", seeds {listed([str(seed) for seed in cell.seeds])}"
    is_whole = set(cell.seeds) == set(results.plan["seeds"])
    return f"{group_name(cell.group.loss, dict(cell.group.axes))}, {task_name(cell.task)}{'' if is_whole else own}"


def _told(value: Any, form: str) -> str:
    return NONE if value is None else form.format(value)


def _plan(plan: Mapping[str, Any], name: str) -> str:
    value = plan.get(name)
    return f"{value:,}" if isinstance(value, int) else NONE


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(entry)}" for name, entry in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)
