import io

import pytest
from rich.console import Console

from robo_rl.metrics.progress import Progress, duration, line, panel

ROW = {
    "env_steps": 6_604,
    "updates": 6_000,
    "env_steps_per_second": 230.6,
    "updates_per_second": 231.2,
    "seconds": 29.0,
    "return": 12.34567,
    "success": 0.41,
    "checkpoint_env_steps": 5_120,
    "evaluation_env_steps": 5_120,
    "evaluation_return": 14.0,
    "evaluation_success": 0.62,
    "evaluation_success_low": 0.55,
    "evaluation_success_high": 0.69,
    "waiting": "the learner waits for actors: 120 transitions short of the next update",
}


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def plain_console():
    return Console(file=io.StringIO(), width=80, force_terminal=False)


def test_the_panel_fits_80_columns_and_says_everything():
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(panel(ROW, 15_360, "train grasp_cube", 29.0))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "train grasp_cube", "6,604 / 15,360 env steps  43%", "ETA 0:38", "6,000 updates",
        "231 env steps/s", "231 updates/s", "0:29 elapsed", "return 12.35, success 41%", "return 14, success 62%",
        "55% to 69%", "5,120 env steps", "learner waits for actors",
    ):  # fmt: skip
        assert words in text
    assert "…" not in text


@pytest.mark.parametrize("row", [{}, {"env_steps": 5}, {"env_steps": 5, "return": None, "q_mean": 1.0}])
def test_the_panel_of_a_run_that_has_just_begun(row):
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(panel(row, 100, "[not markup]", 1.0))
    text = console.export_text()
    assert "ETA ?" in text
    assert "[not markup]" in text
    assert "evaluation" not in text
    assert "None" not in text


def test_the_line_says_the_same():
    assert line({"env_steps": 50, "env_steps_per_second": 2.5}, 100, "a", 20.0) == (
        "a: 50 / 100 env steps (50%); speed 2.5 env steps/s, 0:20 elapsed; ETA 0:20"
    )


def test_without_a_terminal_a_line_comes_every_n_seconds_and_one_at_the_end():
    clock, console = Clock(), plain_console()
    with Progress(100, "run", console=console, line_seconds=10, clock=clock) as progress:
        for clock.seconds in range(0, 25, 5):
            progress.update({"env_steps": int(clock.seconds)})
        progress.note("actor 3 was restarted [1 of 5]")
    lines = console.file.getvalue().splitlines()
    assert [text.split(" / ")[0] for text in lines] == [
        "run: 0", "run: 10", "run: 20", "run: actor 3 was restarted [1 of 5]", "run: 20",
    ]  # fmt: skip
    assert not any("\x1b" in text for text in lines)


def test_a_value_stays_until_a_newer_one_comes_but_waiting_does_not():
    console = plain_console()
    with Progress(100, "run", console=console, line_seconds=0) as progress:
        progress.update({"env_steps": 1, "evaluation_success": 0.5, "waiting": "actors for the learner"})
        progress.update({"env_steps": 2})
    first, second, _ = console.file.getvalue().splitlines()
    assert "waiting actors" in first
    assert "success 50%" in second
    assert "waiting" not in second


def test_the_time_counts_what_went_before_a_resume_and_moves_on_between_rows():
    clock, console = Clock(), plain_console()
    with Progress(100, "run", console=console, clock=clock) as progress:
        clock.seconds = 5.0
        progress.update({"env_steps": 50, "seconds": 3600.0})
        clock.seconds = 12.0
    first, last = console.file.getvalue().splitlines()
    assert "1:00:00 elapsed" in first
    assert "1:00:07 elapsed" in last


def test_on_a_terminal_the_panel_is_drawn_and_the_cursor_comes_back_after_an_error():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    with pytest.raises(RuntimeError, match="broken"), Progress(15_360, "run", console=console) as progress:  # noqa: PT012
        progress.update(ROW)
        progress.note("hello")
        raise RuntimeError("broken")
    text = console.file.getvalue()
    assert "6,604 / 15,360" in text
    assert "run: hello" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "?"), (0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


def test_a_budget_below_one_step_is_refused():
    with pytest.raises(ValueError, match="total_env_steps"):
        Progress(0, "run")
