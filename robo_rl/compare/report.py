"""The report of a comparison: summary.json, plots/ and report.html, from what the folder holds so far."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rl.compare import sections
from robo_rl.compare.drawing import Plot, import_matplotlib, render
from robo_rl.compare.page import bullets, figure, heading, page, paragraph
from robo_rl.compare.plots import plots
from robo_rl.compare.results import Results, read_results
from robo_rl.compare.statistics import REPETITIONS, rliable_library
from robo_rl.compare.summary import summarise
from robo_rl.compare.wording import caution
from robo_rl.errors import UserError
from robo_rl.files import write_atomic, write_json_atomic

Drawn = Sequence[tuple[Plot, bytes]]
"""Plots with their SVG."""


def check_libraries() -> None:
    """Import what a report needs, so that a comparison can be refused before it has trained for days.

    Raises:
        UserError: rliable (with pandas below 3) or matplotlib is not installed.
    """
    rliable_library()
    import_matplotlib()


def write_report(folder: Path, repetitions: int = REPETITIONS) -> None:
    """Write summary.json, report.html and `plots/*.svg`, `plots/*.png` into a comparison folder.

    The comparison may be unfinished: what is missing is listed. Writing again replaces the files; equal scores give
    equal files. `repetitions` is the number of resamples behind the intervals of aggregates.

    Raises:
        UserError: the folder is no comparison or damaged, no cell is finished, rliable or matplotlib is missing, or
            the folder cannot be written.
    """
    results = read_results(folder)
    summary = summarise(results, repetitions)
    try:
        write_json_atomic(folder / "summary.json", summary)
        drawn = _draw(folder / "plots", plots(summary))
        text = report_page(results, summary, drawn)
        # A reader who reloads the page while cells train sees the old one or the whole new one.
        write_atomic(folder / "report.html", text.encode())
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}). Free space or mend rights."
        ) from error


def report_page(results: Results, summary: Mapping[str, Any], drawn: Drawn) -> str:
    """The page: question, answer and the plot that shows it first; then every number, and how to get them again."""
    first = [_figure(plot, svg, "first") for plot, svg in drawn if plot.section == "first"]
    parts = [
        heading(summary["question"], 1),
        paragraph(summary["answer"], "answer"),
        *first,
        bullets(caution(summary)),
        sections.aggregates(summary),
        _figures(drawn, "aggregate"),
        heading("Task by task"),
        sections.overview(summary),
        _figures(drawn, "tasks", sections.differences(summary)),
    ]
    for entry in summary["per_task"]:
        parts += [sections.task_heading(entry), _figures(drawn, entry["task"], sections.task(entry))]
    parts += [
        sections.sources(summary),
        sections.unfinished(results),
        sections.cells(results),
        sections.protocol(summary, results),
        sections.reproduce(results),
        sections.raw(results.folder),
    ]
    return page(summary["question"], "\n".join(part for part in parts if part))


def _figures(drawn: Drawn, section: str, beside: str = "") -> str:
    """The figures of a section side by side where there is room, and what is `beside` them; without any, that alone."""
    found = [_figure(plot, svg, "") for plot, svg in drawn if plot.section == section]
    if not found:
        return beside
    return f'<div class="figures">{"".join(found)}{beside}</div>'


def _figure(plot: Plot, svg: bytes, kind: str) -> str:
    return figure(svg, plot.caption, html.escape(kind))


def _draw(folder: Path, wanted: Sequence[Plot]) -> list[tuple[Plot, bytes]]:
    """Write each plot as SVG and PNG; plots of an earlier report that this one does not have are removed."""
    folder.mkdir(exist_ok=True)
    for path in [*folder.glob("*.svg"), *folder.glob("*.png")]:
        if path.stem not in {plot.name for plot in wanted}:
            path.unlink()
    drawn = []
    for plot in wanted:
        svg, png = render(plot)
        (folder / f"{plot.name}.svg").write_bytes(svg)
        (folder / f"{plot.name}.png").write_bytes(png)
        drawn.append((plot, svg))
    return drawn
