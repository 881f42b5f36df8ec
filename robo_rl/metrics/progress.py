"""The live display of a run: one panel on a terminal, one plain line every few seconds elsewhere."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


class Progress:
    """Shows the rows of a run (see `rows.COLUMNS`) against its budget; a context manager.

    A value stays on display until a newer one comes, so that rows need not carry every column. On a terminal the
    panel redraws itself twice a second and whatever else is printed scrolls above it.
    """

    def __init__(
        self,
        total_env_steps: int,
        label: str,
        console: Console | None = None,
        line_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a display; nothing is shown before `with`.

        Args:
            total_env_steps: the budget (environment steps), >= 1.
            label: what runs, e.g. the name of the run folder.
            console: where to; standard error when None, so that standard output stays clean.
            line_seconds: least time between two plain lines (s).
            clock: seconds that never go back; tests give their own.
        """
        if total_env_steps < 1:
            raise ValueError(f"Needs total_env_steps >= 1; got {total_env_steps}.")
        self._total = total_env_steps
        self._label = label
        self._console = console or Console(stderr=True)
        self._line_seconds = line_seconds
        self._clock = clock
        self._row: dict[str, Any] = {}
        self._start = self._last_line = clock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start to show."""
        self._start = self._clock()
        # The first row is shown at once: silence at the start looks like a hang.
        self._last_line = self._start - self._line_seconds
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # It draws from a thread of its own, so the clock moves on while the first update compiles.
            live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=2)
            live.start()
            self._live = live
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last state once more and stop, after an error too."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._row:
            self._print(line(self._row, self._total, self._label, self._clock() - self._start))

    def update(self, row: Mapping[str, Any]) -> None:
        """Take over the values of `row`; `waiting` (who waits for what) is cleared by a row without it."""
        # A new dict, never a change in place: the drawing thread may be reading the old one.
        self._row = {**self._row, "waiting": None, **row}
        now = self._clock()
        if row.get("seconds") is not None:
            # The run's own clock counts what went before a resume; between rows it goes on with ours.
            self._start = now - row["seconds"]
        if self._live is None and now - self._last_line >= self._line_seconds:
            self._last_line = now
            self._print(line(self._row, self._total, self._label, now - self._start))

    def note(self, text: str) -> None:
        """Say `text` once, at once, e.g. that an actor was restarted."""
        self._print(f"{self._label}: {text}")

    def _print(self, text: str) -> None:
        # Text, not str: brackets in a path or a traceback are no markup. Soft wrap: one line stays one line in a log.
        self._console.print(Text(text), soft_wrap=True)

    def _panel(self) -> Panel:
        return panel(self._row, self._total, self._label, self._clock() - self._start)


def panel(row: Mapping[str, Any], total_env_steps: int, label: str, elapsed: float) -> Panel:
    """The display of a terminal: `row` against the budget after `elapsed` seconds of training."""
    steps = row.get("env_steps") or 0
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(
        ProgressBar(total=total_env_steps, completed=min(steps, total_env_steps)),
        f"{steps:,} / {total_env_steps:,} env steps  {min(steps / total_env_steps, 1):.0%}",
        Text(f"ETA {duration(_seconds_left(row, total_env_steps))}", style="bold"),
    )
    body = Table.grid(padding=(0, 2))
    body.add_column(style="dim", no_wrap=True, min_width=10)
    body.add_column(overflow="fold")
    for name, text in _facts(row, elapsed):
        body.add_row(name, Text(text, style="yellow" if name == "waiting" else ""))
    return Panel(Group(head, body), title=Text(label, style="bold"), title_align="left", border_style="dim")


def line(row: Mapping[str, Any], total_env_steps: int, label: str, elapsed: float) -> str:
    """The same as `panel` in one line, for a log file."""
    steps = row.get("env_steps") or 0
    head = f"{label}: {steps:,} / {total_env_steps:,} env steps ({min(steps / total_env_steps, 1):.0%})"
    facts = "; ".join(f"{name} {text}" for name, text in _facts(row, elapsed))
    return f"{head}; {facts}; ETA {duration(_seconds_left(row, total_env_steps))}"


def duration(seconds: float | None) -> str:
    """`seconds` as m:ss or h:mm:ss; a question mark where unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _seconds_left(row: Mapping[str, Any], total_env_steps: int) -> float | None:
    rate = row.get("env_steps_per_second")
    if not rate or rate <= 0:
        return None
    return max(0, total_env_steps - (row.get("env_steps") or 0)) / rate


def _facts(row: Mapping[str, Any], elapsed: float) -> list[tuple[str, str]]:
    """What is known, as (name, words), in the order of the display; a fact without a value is left out."""
    facts = [
        (
            "speed",
            _join(
                _rate(row, "env_steps_per_second", "env steps/s"),
                _rate(row, "updates_per_second", "updates/s"),
                _count(row, "updates", "updates"),
                f"{duration(elapsed)} elapsed",
            ),
        ),
        ("training", _join(_return(row, "return"), _success(row, "success"))),
        ("evaluation", _evaluation(row)),
        ("checkpoint", _join(_count(row, "checkpoint_env_steps", "env steps"))),
        ("waiting", row.get("waiting") or ""),
    ]
    return [(name, text) for name, text in facts if text]


def _evaluation(row: Mapping[str, Any]) -> str:
    result = _join(_return(row, "evaluation_return"), _success(row, "evaluation_success"))
    low, high, env_steps = (row.get(f"evaluation_{name}") for name in ("success_low", "success_high", "env_steps"))
    if result and low is not None and high is not None:
        result += f" ({low:.0%} to {high:.0%})"
    if result and env_steps is not None:
        result += f" at {env_steps:,} env steps"
    return result


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _count(row: Mapping[str, Any], name: str, unit: str) -> str:
    return "" if row.get(name) is None else f"{row[name]:,} {unit}"


def _rate(row: Mapping[str, Any], name: str, unit: str) -> str:
    if row.get(name) is None:
        return ""
    return f"{row[name]:,.0f} {unit}" if row[name] >= 10 else f"{row[name]:.2g} {unit}"


def _return(row: Mapping[str, Any], name: str) -> str:
    return "" if row.get(name) is None else f"return {row[name]:.4g}"


def _success(row: Mapping[str, Any], name: str) -> str:
    return "" if row.get(name) is None else f"success {row[name]:.0%}"
