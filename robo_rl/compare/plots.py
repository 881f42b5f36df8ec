"""Which plots a comparison has, each drawn from summary.json alone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robo_rl.compare import drawing
from robo_rl.compare.drawing import Look, Plot
from robo_rl.compare.names import axes_name, axis_name, group_name, loss_name, reference_name, task_name, value_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Entry = Mapping[str, Any]
"""A group of summary.json, over all tasks or of one task."""

_AGGREGATES = {
    "iqm": ("interquartile mean (IQM)", "Interquartile mean (IQM) of the final scores of all runs and tasks"),
    "mean": ("mean", "Mean of the final scores of all runs and tasks"),
    "median": ("median", "Median over tasks of the mean final score"),
    "optimality_gap": ("optimality gap", "How far the final scores fall short of 1 on average; less is better"),
}
"""Quantity -> its name on the axis, and what the caption says of it."""


def plots(summary: Mapping[str, Any]) -> list[Plot]:
    """Every plot that the summary has numbers for, the one that shows the answer first.

    A group is a loss at one value of each axis; apart from the first, each plot holds one value of the axes.
    """
    groups = [entry for entry in summary["groups"] if "iqm" in entry]
    found: list[Plot] = []
    slices = _slices(groups)
    if groups:
        found.append(_against_axis(summary, groups) if len(slices) > 1 else _intervals(summary, groups, "iqm"))
    if len(slices) == 1:
        found += [_intervals(summary, groups, name) for name in ("mean", "median", "optimality_gap")]
    if rivals := [entry for entry in groups if "reference" in entry]:
        found.append(_improvement(summary, rivals))
    for members in slices:
        found += _aggregate_plots(summary, members, len(slices) > 1)
    if len(slices) <= 1:
        found += _differences(summary)
    for entry in summary["per_task"]:
        of_task = _slices(entry["groups"])
        found += [_task_plot(summary, entry, members, len(of_task) > 1) for members in of_task]
    return found


def _intervals(summary: Mapping[str, Any], groups: Sequence[Entry], quantity: str) -> Plot:
    name, told = _AGGREGATES[quantity]

    def draw(area: "Axes") -> None:
        names = [loss_name(entry["loss"]) for entry in groups]
        looks = [_look(summary, entry) for entry in groups]
        drawing.rows(area, names, looks, [entry[quantity] for entry in groups], name)

    section = "first" if quantity == "iqm" else "aggregate"
    height = drawing.height_of_rows(len(groups))
    file = f"scores-{quantity.replace('_', '-')}"
    return Plot(file, section, f"{told}, with 95 % intervals.", draw, height)


def _against_axis(summary: Mapping[str, Any], groups: Sequence[Entry]) -> Plot:
    """Score against the values of the axis that has most of them, one line per loss (and value of the other axes)."""
    field = max(summary["axes"], key=lambda name: len(summary["axes"][name]))
    values = list(summary["axes"][field])
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    # Values that double from one to the next belong on a logarithmic axis, where they are evenly spaced.
    ratio = numeric and min(values) > 0 and max(values) / min(values) >= 8
    lines: dict[str, list[Entry]] = {}
    for entry in groups:
        others = {name: value for name, value in entry["axes"].items() if name != field}
        lines.setdefault(group_name(entry["loss"], others), []).append(entry)
    # A loss has its own colour in every plot, unless it has several lines here.
    own = len({members[0]["loss"] for members in lines.values()}) == len(lines)

    def position(value: Any) -> float:
        return float(value) if numeric else [value_name(one) for one in values].index(value_name(value))

    def draw(area: "Axes") -> None:
        """One line for each loss, through its values of the axis."""
        for number, (label, members) in enumerate(lines.items()):
            series = {name: [entry["iqm"][name] for entry in members] for name in ("value", "low", "high")}
            look = _look(summary, members[0]) if own else drawing.look(number)
            drawing.band(area, [position(e["axes"][field]) for e in members], series, look, label)
        if ratio:
            area.set_xscale("log")
        area.minorticks_off()
        area.set_xticks([position(value) for value in values], [value_name(value) for value in values])
        drawing.finish(area, axis_name(field, summary["axes"]), "IQM of the score")

    caption = f"Interquartile mean (IQM) of the final scores against {field}, with 95 % intervals."
    return Plot("scores-axis", "first", caption, draw, drawing.height_with_legend(len(lines)))


def _aggregate_plots(summary: Mapping[str, Any], members: Sequence[Entry], many: bool) -> list[Plot]:
    """Curve and profile of the groups at one value of the axes."""
    suffix, at = _place(members[0], many)
    height = drawing.height_with_legend(len(members))
    with_curve = [entry for entry in members if "curve" in entry]

    def draw_curve(area: "Axes") -> None:
        for entry in with_curve:
            series, name = entry["curve"], loss_name(entry["loss"])
            drawing.band(area, series["env_steps"], series, _look(summary, entry), name)
        drawing.count_steps(area)
        drawing.finish(area, "environment steps", "IQM of the score")

    def draw_profile(area: "Axes") -> None:
        for entry in members:
            series, name = entry["profile"], loss_name(entry["loss"])
            drawing.band(area, series["threshold"], series, _look(summary, entry), name)
        area.set_ylim(-0.02, 1.02)
        drawing.finish(area, "score τ", "share of runs above τ")

    curve = f"Sample efficiency: IQM over training, with the 95 % interval at each step.{at}"
    profile = f"Performance profile: share of runs with a final score above τ, with 95 % intervals.{at}"
    found = [Plot(f"curve{suffix}", "aggregate", curve, draw_curve, height)] if with_curve else []
    return [*found, Plot(f"profile{suffix}", "aggregate", profile, draw_profile, height)]


def _improvement(summary: Mapping[str, Any], rivals: Sequence[Entry]) -> Plot:
    """One row for each group that has a reference."""
    name = reference_name(rivals[0])

    def draw(area: "Axes") -> None:
        names = [", ".join(filter(None, [loss_name(entry["loss"]), axes_name(entry["axes"])])) for entry in rivals]
        looks = [_look(summary, entry) for entry in rivals]
        area.axvline(0.5, color="#888888", linewidth=1, linestyle="--")
        found = [entry["probability_of_improvement"] for entry in rivals]
        drawing.rows(area, names, looks, found, "probability of improvement")
        area.set_xlim(-0.02, 1.02)

    caption = (
        f"The chance that a run beats a run of {name} on the same task, with 95 % intervals; at the dashed line "
        "neither is better."
    )
    return Plot("improvement", "aggregate", caption, draw, drawing.height_of_rows(len(rivals)))


def _differences(summary: Mapping[str, Any]) -> list[Plot]:
    """Where each loss gains and loses: one row for each task and rival, one plot for each unit of the tasks."""
    found = []
    for quantity in dict.fromkeys(entry["quantity"] for entry in summary["per_task"]):
        rivals = [
            (task_name(entry["task"]), row)
            for entry in summary["per_task"]
            for row in entry["groups"]
            if entry["quantity"] == quantity and "difference" in row
        ]
        if rivals:
            found.append(_differences_of(summary, quantity, rivals))
    return found


def _differences_of(summary: Mapping[str, Any], quantity: str, rivals: Sequence[tuple[str, Entry]]) -> Plot:
    several = len({row["loss"] for _, row in rivals}) > 1
    over = reference_name(rivals[0][1])

    def draw(area: "Axes") -> None:
        names = [f"{task}\n{loss_name(row['loss'])}" if several else task for task, row in rivals]
        looks = [_look(summary, row) for _, row in rivals]
        area.axvline(0, color="#888888", linewidth=1, linestyle="--")
        drawing.rows(area, names, looks, [row["difference"] for _, row in rivals], f"{quantity} less that of {over}")

    who = "each loss" if several else loss_name(rivals[0][1]["loss"])
    caption = (
        f"Task by task, by how much the mean {quantity} of {who} lies above that of {over}, with Welch's 95 % "
        "intervals; right of the dashed line it is ahead."
    )
    name = f"differences-{_file_name(quantity)}"
    return Plot(name, "tasks", caption, draw, drawing.height_of_rows(len(rivals)))


def _task_plot(summary: Mapping[str, Any], task: Entry, members: Sequence[Entry], many: bool) -> Plot:
    """The curves of one task, with what was published at the same steps."""
    suffix, at = _place(members[0], many)
    published: dict[str, list[tuple[int, float]]] = {}
    for row in task["published"]:
        published.setdefault(row["method"], []).append((row["env_steps"], row["mean"]))

    def draw(area: "Axes") -> None:
        for row in members:
            drawing.band(area, row["curve"]["env_steps"], row["curve"], _look(summary, row), loss_name(row["loss"]))
        drawing.published_marks(area, published)
        drawing.count_steps(area)
        if all(low >= 0 for row in members for low in row["curve"]["low"]):
            area.set_ylim(bottom=0)
        drawing.finish(area, "environment steps", task["quantity"])

    name = task_name(task["task"])
    theirs = " Grey: published means at the same steps." if published else ""
    caption = f"{name}: mean over seeds, with 95 % intervals.{at}{theirs}"
    height = drawing.height_with_legend(len(members) + len(published))
    return Plot(f"task-{_file_name(name)}{suffix}", task["task"], caption, draw, height)


def _look(summary: Mapping[str, Any], entry: Entry) -> Look:
    return drawing.look(summary["losses"].index(entry["loss"]))


def _place(entry: Entry, many: bool) -> tuple[str, str]:
    """Which value of the axes a plot is of: the end of its file's name and a sentence; both empty if there is one."""
    return (f"-{_file_name(axes_name(entry['axes']))}", f" At {axes_name(entry['axes'])}.") if many else ("", "")


def _slices(groups: Sequence[Entry]) -> list[list[Entry]]:
    """The groups by the values of their axes, in order."""
    found: dict[str, list[Entry]] = {}
    for entry in groups:
        found.setdefault(axes_name(entry["axes"]), []).append(entry)
    return list(found.values())


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text).strip("-")
