"""The plots of a comparison, drawn from summary.json alone: small figures that stay legible on a phone.

Every figure is about as wide as a phone's screen; the report sets them side by side where there is room.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robo_rl.compare.names import axes_name, axis_name, loss_name, task_name, value_name
from robo_rl.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too, in the order of contrast; a marker goes with each.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_PUBLISHED_GREYS = ("#333333", "#666666", "#888888", "#aaaaaa")

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
    # Text stays text, so that a reader can search and scale it; equal numbers give equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "robo_rl",
}
_WIDTH, _HEIGHT, _DPI = 4.4, 3.1, 150
_SOURCELESS: dict[str, None] = {"Date": None}


class Plot:
    """A figure with the name of its files and the sentence that says what it shows.

    section: "first", "aggregate" or the name of a task
    """

    def __init__(self, name: str, section: str, caption: str, draw: Callable[["Axes"], None], lines: int = 0) -> None:
        """`draw` fills the axes; `lines` is the number of rows of a plot that has one per loss, 0 for others."""
        self.name, self.section, self.caption = name, section, caption
        self._draw, self._lines = draw, lines

    def render(self) -> tuple[bytes, bytes]:
        """The figure as SVG and as PNG.

        Raises:
            UserError: matplotlib is not installed.
        """
        matplotlib, figure_type = _matplotlib()
        with matplotlib.rc_context(_STYLE):
            height = 1.1 + 0.42 * self._lines if self._lines else _HEIGHT
            figure: Figure = figure_type(figsize=(_WIDTH, height), layout="constrained")
            self._draw(figure.subplots())
            svg, png = io.BytesIO(), io.BytesIO()
            figure.savefig(svg, format="svg", metadata=_SOURCELESS)
            figure.savefig(png, format="png", dpi=_DPI)
        return svg.getvalue(), png.getvalue()


def plots(summary: Mapping[str, Any]) -> list[Plot]:
    """Every plot that the summary has numbers for, the one that shows the answer first."""
    groups = [entry for entry in summary["groups"] if "iqm" in entry]
    found: list[Plot] = []
    slices = _slices(groups)
    if groups:
        found.append(_against_axis(summary, groups) if len(slices) > 1 else _intervals(summary, groups, "iqm", "first"))
    for axes, members in slices:
        found += _aggregate_plots(summary, axes, members, len(slices) > 1)
    for entry in summary["per_task"]:
        if entry["groups"]:
            found += _task_plots(summary, entry)
    return found


def _aggregate_plots(
    summary: Mapping[str, Any], axes: Mapping[str, Any], members: Sequence[Mapping[str, Any]], many: bool
) -> list[Plot]:
    """Curve, profile and probability of improvement of the groups at one value of the axes."""
    suffix = "-" + _file_name(axes_name(axes)) if many else ""
    at = f" At {axes_name(axes)}." if many else ""
    found = []
    if not many:
        found += [_intervals(summary, members, name, "aggregate") for name in ("mean", "median", "optimality_gap")]
    rivals = [entry for entry in members if "probability_of_improvement" in entry]
    if rivals:
        found.append(_improvement(summary, rivals, suffix, at))

    def draw_curve(area: "Axes") -> None:
        for entry in members:
            _band(area, entry["curve"]["env_steps"], entry["curve"], _look(summary, entry), loss_name(entry["loss"]))
        _label(area, "environment steps", "IQM of the score", thousands=True)

    def draw_profile(area: "Axes") -> None:
        for entry in members:
            _band(
                area, entry["profile"]["threshold"], entry["profile"], _look(summary, entry), loss_name(entry["loss"])
            )
        _label(area, "score τ", "share of runs above τ")
        area.set_ylim(-0.02, 1.02)

    found.append(
        Plot(f"curve{suffix}", "aggregate", f"IQM over training, with the 95 % interval at each step.{at}", draw_curve)
    )
    found.append(
        Plot(
            f"profile{suffix}",
            "aggregate",
            f"Performance profile: share of runs with a final score above τ, with 95 % intervals.{at}",
            draw_profile,
        )
    )
    return found


_INTERVAL_NAMES = {
    "iqm": "interquartile mean (IQM)",
    "mean": "mean",
    "median": "median of the tasks",
    "optimality_gap": "optimality gap (lower is better)",
}


def _intervals(summary: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], quantity: str, section: str) -> Plot:
    """One row per group: a dot with its interval."""
    name = _INTERVAL_NAMES[quantity]

    def draw(area: "Axes") -> None:
        _rows(summary, area, groups, quantity)
        area.set_xlabel(f"{name} of the score")

    caption = f"{name[0].upper()}{name[1:]} of the final scores of all runs and tasks, with 95 % intervals."
    return Plot(f"scores-{quantity.replace('_', '-')}", section, caption, draw, lines=len(groups))


def _improvement(summary: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]], suffix: str, at: str) -> Plot:
    reference = rivals[0]["reference"]
    name = loss_name(reference["loss"]) if rivals[0]["loss"] != reference["loss"] else axes_name(reference["axes"])

    def draw(area: "Axes") -> None:
        _rows(summary, area, rivals, "probability_of_improvement")
        area.axvline(0.5, color="#888888", linewidth=1, linestyle="--")
        area.set_xlim(-0.02, 1.02)
        area.set_xlabel(f"probability of improvement over {name}")

    caption = (
        f"The chance that a run beats a run of {name} on the same task, with 95 % intervals; at the dashed line "
        f"neither is better.{at}"
    )
    return Plot(f"improvement{suffix}", "aggregate", caption, draw, lines=len(rivals))


def _against_axis(summary: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Plot:
    """Score against the values of the axis that has most of them, one line per loss (and value of the other axes)."""
    field = _main_axis(summary)
    values = list(summary["axes"][field])
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    ratio = numeric and min(values) > 0 and max(values) / min(values) >= 8

    def draw(area: "Axes") -> None:
        for label, look, members in _lines(summary, groups, field):
            at = [float(e["axes"][field]) if numeric else _position(values, e["axes"][field]) for e in members]
            merged = {name: [entry["iqm"][name] for entry in members] for name in ("value", "low", "high")}
            _band(area, at, merged, look, label)
        if ratio:
            area.set_xscale("log")
        area.minorticks_off()
        area.set_xticks(values if numeric else range(len(values)), [value_name(value) for value in values])
        _label(area, axis_name(field), "IQM of the score")

    caption = f"IQM of the final scores against {field}, one line per loss, with 95 % intervals."
    return Plot("scores-axis", "first", caption, draw)


def _task_plots(summary: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Plot]:
    """The curves of one task, one plot for each value of the axes, with what was published at the same steps."""
    found, slices = [], _slices(entry["groups"])
    for axes, members in slices:
        many = len(slices) > 1
        suffix = "-" + _file_name(axes_name(axes)) if many else ""
        at = f" At {axes_name(axes)}." if many else ""

        def draw(area: "Axes", members: Sequence[Mapping[str, Any]] = members) -> None:
            for row in members:
                _band(area, row["curve"]["env_steps"], row["curve"], _look(summary, row), loss_name(row["loss"]))
            _published(area, entry["published"])
            _label(area, "environment steps", entry["quantity"], thousands=True)

        theirs = " Grey: published means." if entry["published"] else ""
        caption = f"{task_name(entry['task'])}: mean over seeds, with 95 % intervals.{at}{theirs}"
        found.append(Plot(f"task-{_file_name(task_name(entry['task']))}{suffix}", entry["task"], caption, draw))
    return found


def _published(area: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    """Published means as grey marks, joined where a method has several steps."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for number, method in enumerate(methods):
        points = [(row["env_steps"], row["mean"]) for row in rows if row["method"] == method]
        area.plot(
            *zip(*points, strict=True),
            color=_PUBLISHED_GREYS[number % len(_PUBLISHED_GREYS)],
            marker=("x", "+", "1", "2", "3", "4", "_", "|")[number % 8],
            linestyle=":",
            linewidth=0.8,
            label=method,
        )


def _rows(summary: Mapping[str, Any], area: "Axes", groups: Sequence[Mapping[str, Any]], quantity: str) -> None:
    names = [loss_name(entry["loss"]) for entry in groups]
    if len(set(names)) < len(names):
        names = [f"{name}, {axes_name(entry['axes'])}" for name, entry in zip(names, groups, strict=True)]
    for row, entry in enumerate(groups):
        color, marker = _look(summary, entry)
        found = entry[quantity]
        area.plot([found["low"], found["high"]], [row, row], color=color, linewidth=5, alpha=0.35)
        area.plot([found["value"]], [row], color=color, marker=marker)
    area.set_yticks(range(len(groups)), names)
    area.set_ylim(len(groups) - 0.5, -0.5)
    area.grid(visible=False, axis="y")


def _band(area: "Axes", x: Sequence[float], series: Mapping[str, Any], look: tuple[str, str], label: str) -> None:
    color, marker = look
    dense = len(x) > 20
    area.plot(x, series["value"], color=color, marker="" if dense else marker, markersize=4, label=label)
    area.fill_between(x, series["low"], series["high"], color=color, alpha=0.18, linewidth=0)


def _label(area: "Axes", x: str, y: str, thousands: bool = False) -> None:
    from matplotlib.ticker import EngFormatter

    area.set_xlabel(x)
    area.set_ylabel(y)
    if thousands:
        area.xaxis.set_major_formatter(EngFormatter(sep=""))
        area.set_xlim(left=0)
    # Below the plot, where it hides no curve however many there are.
    handles, _ = area.get_legend_handles_labels()
    area.figure.legend(loc="outside lower left", ncols=2 if len(handles) > 1 else 1)


def _look(summary: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[str, str]:
    place = summary["losses"].index(entry["loss"])
    return _COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)]


def _slices(groups: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """The groups by the values of their axes, in order."""
    found: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = []
    for entry in groups:
        for axes, members in found:
            if axes == entry["axes"]:
                members.append(entry)
                break
        else:
            found.append((entry["axes"], [entry]))
    return found


def _main_axis(summary: Mapping[str, Any]) -> str:
    return max(summary["axes"], key=lambda field: len(summary["axes"][field]))


def _lines(
    summary: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], field: str
) -> list[tuple[str, tuple[str, str], list[Mapping[str, Any]]]]:
    """Label, look and members of each line: a loss at one value of all axes but `field`."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in groups:
        others = axes_name({name: value for name, value in entry["axes"].items() if name != field})
        found.setdefault(loss_name(entry["loss"]) + (f", {others}" if others else ""), []).append(entry)
    return [
        (label, (_COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]), members)
        for number, (label, members) in enumerate(found.items())
    ]


def _position(values: Sequence[Any], value: Any) -> float:
    return float([value_name(one) for one in values].index(value_name(value)))


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text).strip("-")


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f"The plots of a comparison need matplotlib ({error}). Install the extra: pip install 'robo-rl[compare]'."
        ) from error
    return matplotlib, Figure
