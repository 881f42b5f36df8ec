"""How a plot of a comparison is drawn: size, colours, bands, rows and legend; what is drawn is in `plots`.

Every figure is about as wide as a phone's screen; the report sets them side by side where there is room.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from robo_rl.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind readers too, in the order of contrast; a marker goes with each.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_PUBLISHED_MARKERS = ("x", "+", "1", "2", "3", "4", "|", "_")

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # Text stays text, so that a reader can search and scale it; equal numbers give equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "robo_rl",
}
_WIDTH, _DPI = 4.4, 150
_AREA, _LEGEND_ROW, _ROW, _ROWS_FRAME = 2.7, 0.19, 0.42, 0.7
"""Heights (inches) of a plot without its legend, of a legend's row, of a row of `rows`, and of what frames those."""


class Plot(NamedTuple):
    """A figure that can be drawn.

    name: of its files, without ending    section: "first", "aggregate" or a task    caption: what it shows
    draw: fills the axes    height: of the figure (inches)
    """

    name: str
    section: str
    caption: str
    draw: Callable[["Axes"], None]
    height: float


class Look(NamedTuple):
    """What tells one line from another, in colour and without."""

    color: str
    marker: str


def look(number: int) -> Look:
    """The look of the n-th line; after seven they repeat."""
    return Look(_COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)])


def height_with_legend(entries: int) -> float:
    """The height (inches) of a plot whose legend, in two columns, has so many entries."""
    return _AREA + _LEGEND_ROW * ((entries + 1) // 2)


def height_of_rows(count: int) -> float:
    """The height (inches) of a plot with one row for each of `count` groups."""
    return _ROWS_FRAME + _ROW * max(count, 2)


def render(plot: Plot) -> tuple[bytes, bytes]:
    """The figure as SVG and as PNG; no screen is needed.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib, figure_type = import_matplotlib()
    with matplotlib.rc_context(_STYLE):
        figure = figure_type(figsize=(_WIDTH, plot.height), layout="constrained")
        plot.draw(figure.subplots())
        svg, png = io.BytesIO(), io.BytesIO()
        # Without the date, equal numbers give equal files.
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=_DPI)
    return svg.getvalue(), png.getvalue()


def import_matplotlib() -> tuple[Any, Any]:
    """The module matplotlib and its Figure, imported when first needed: only reports draw.

    Figures are made without pyplot, which keeps them all in memory and looks for a screen.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f"The plots need matplotlib ({error}). Install the extra: pip install 'robo-rl[compare]'."
        ) from error
    return matplotlib, Figure


def rows(
    area: "Axes", names: Sequence[str], looks: Sequence[Look], found: Sequence[Mapping[str, float]], label: str
) -> None:
    """One row for each name: a dot for `value` on a bar from `low` to `high`; `label` says what of."""
    for row, (style, entry) in enumerate(zip(looks, found, strict=True)):
        area.plot([entry["low"], entry["high"]], [row, row], color=style.color, linewidth=5, alpha=0.35)
        area.plot([entry["value"]], [row], color=style.color, marker=style.marker)
    area.set_yticks(range(len(names)), names)
    area.set_ylim(len(names) - 0.5, -0.5)
    area.grid(visible=False, axis="y")
    area.locator_params(axis="x", nbins=5)
    area.set_xlabel(label)


def band(area: "Axes", x: Sequence[float], series: Mapping[str, Sequence[float]], style: Look, label: str) -> None:
    """A line through `value` with the interval from `low` to `high` around it."""
    marker = style.marker if len(x) <= 20 else ""
    area.plot(x, series["value"], color=style.color, marker=marker, markersize=4, label=label)
    area.fill_between(x, series["low"], series["high"], color=style.color, alpha=0.18, linewidth=0)


def published_marks(area: "Axes", points_of: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Grey marks of others' means, (environment steps, mean) by method.

    Methods with one step each share a mark and a legend entry: a table names them, and marks in a heap tell nothing.
    Methods with several steps are lines of their own.
    """
    is_heap = all(len(points) == 1 for points in points_of.values())
    for number, (method, points) in enumerate(points_of.items()):
        area.plot(
            *zip(*points, strict=True),
            color="#555555",
            marker="_" if is_heap else _PUBLISHED_MARKERS[number % len(_PUBLISHED_MARKERS)],
            markersize=11 if is_heap else 7,
            linestyle="none" if is_heap else ":",
            linewidth=0.8,
            clip_on=False,
            label=("published" if number == 0 else None) if is_heap else method,
        )


def finish(area: "Axes", x: str, y: str) -> None:
    """Axis labels, and the legend below the plot, where it hides no curve however many there are."""
    area.set_xlabel(x)
    area.set_ylabel(y)
    handles, _ = area.get_legend_handles_labels()
    area.figure.legend(loc="outside lower left", ncols=2 if len(handles) > 1 else 1)


def count_steps(area: "Axes") -> None:
    """Environment steps along x from 0, as 20k and 1M."""
    from matplotlib.ticker import EngFormatter

    area.xaxis.set_major_formatter(EngFormatter(sep=""))
    area.set_xlim(left=0)
