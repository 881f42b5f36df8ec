"""The answer of a comparison in one sentence that claims no more than the intervals allow."""

from collections.abc import Mapping, Sequence
from typing import Any

from robo_rl.compare.names import axes_name, counted, group_name, listed, loss_name, reference_name, task_name
from robo_rl.compare.statistics import LEAST_SEEDS

MOST_SPELLED_OUT = 8
"""With more comparisons than this the sentence counts them and gives the clearest; the table has them all."""


def answer(summary: Mapping[str, Any]) -> str:
    """One sentence: what was found, over what, and how sure it is.

    summary: as `robo_rl.compare.summary.summarise` builds it
    """
    groups = [entry for entry in summary["groups"] if "iqm" in entry]
    if not groups:
        kind = "task with a known scale" if summary["tasks_without_scale"] else "task"
        return _begin(summary, f"no {kind} has been finished by every loss, so nothing can be said across tasks.")
    seeds = min(len(entry["seeds"]) for entry in groups)
    over = (
        f"after {summary['env_steps']:,} environment steps on {_tasks(summary['tasks'])} "
        f"with {counted(seeds, 'seed')} each, "
    )
    compared = [entry for entry in groups if "iqm_difference" in entry]
    if not compared:
        said = "; ".join(f"{_name(entry)} scores an IQM of {estimate(entry['iqm'])}" for entry in groups)
        return _begin(summary, f"{over}{said}, and there is nothing to compare it with.")
    if len(compared) > MOST_SPELLED_OUT:
        return _begin(summary, over + _counts(compared))
    return _begin(summary, over + _verdicts(compared))


def estimate(entry: Mapping[str, Any], digits: int = 2) -> str:
    """`0.83 [0.80, 0.86]`, which a narrow column may break before the bracket only."""
    value, low, high = (f"{entry[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} {interval(low, high)}"


def signed(entry: Mapping[str, Any], digits: int = 2) -> str:
    """`+0.07 [+0.03, +0.11]`, with a true minus sign; one more digit where an interval off 0 would seem to touch it."""
    # "higher, +0.01 [0.00, 0.02]" would read like a contradiction.
    off_zero = entry["low"] * entry["high"] > 0
    digits += off_zero and min(abs(entry["low"]), abs(entry["high"])) < 0.5 / 10**digits

    def told(number: float) -> str:
        rounded = round(number, digits) or 0.0  # no -0.00
        return f"{rounded:{'+' if rounded else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")

    return f"{told(entry['value'])} {interval(told(entry['low']), told(entry['high']))}"


def interval(low: str, high: str) -> str:
    """`[0.80, 0.86]` that no line break divides."""
    return f"[{low},\N{NO-BREAK SPACE}{high}]"


def caution(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the answer; each one sentence."""
    groups = [entry for entry in summary["groups"] if "iqm" in entry]
    compared = [entry for entry in groups if "iqm_difference" in entry]
    seeds = min((len(entry["seeds"]) for entry in groups), default=0)
    notes = []
    if len(compared) > 1:
        notes.append(
            f"{len(compared)} comparisons are made and each has its own 95 % interval: of twenty such intervals one is "
            "expected to miss, so a single narrow win among many may be chance."
        )
    if groups and seeds < 10:
        how = "no verdict is given" if seeds < LEAST_SEEDS else "bootstrap intervals tend to be too narrow"
        notes.append(f"With {counted(seeds, 'seed')} {how}; ten or more are advisable.")
    if len({len(entry["seeds"]) for entry in groups}) > 1:
        notes.append("The groups have different numbers of seeds; the table gives each.")
    if any("curve" not in entry for entry in groups):
        notes.append("Some losses were evaluated at different steps on different tasks, so they have no joint curve.")
    without_scale = summary["tasks_without_scale"]
    if without_scale:
        notes.append(
            "Not in the aggregates, because they know no success and their largest return is not known: "
            f"{listed([task_name(task) for task in without_scale])}."
        )
    unfinished = [task for task in summary["tasks_left_out"] if task not in without_scale]
    if groups and unfinished:
        left_out = listed([task_name(task) for task in unfinished])
        notes.append(f"Not in the aggregates, because not every loss has finished them: {left_out}.")
    for failure in summary["failed"]:
        tasks = listed([task_name(task) for task in failure["tasks"]])
        notes.append(
            f"{_name(failure)} failed on {tasks}, which counts for no loss: the answer flatters a loss that fails "
            "where it does badly. The section on failed cells says why."
        )
    for mixed in summary["mixed_versions"]:
        what = ", ".join(mixed["what"])
        notes.append(
            f"On {task_name(mixed['task'])} the cells are not of one version ({what}); the table of cells has them."
        )
    return notes


def _begin(summary: Mapping[str, Any], text: str) -> str:
    done, planned = summary["cells"]["finished"], sum(summary["cells"].values())
    if done < planned:
        text = f"so far ({done} of {planned} cells finished), {text}"
    return text[0].upper() + text[1:]


def _verdicts(compared: Sequence[Mapping[str, Any]]) -> str:
    """Every comparison with its interval, grouped by what may be claimed; all are against one kind of reference."""
    against = reference_name(compared[0])
    clauses = []
    for verdict, claim in (
        ("higher", f"scored higher than {against}"),
        ("lower", f"scored lower than {against}"),
        ("undecided", f"cannot be told apart from {against}"),
        ("too few seeds", f"cannot be judged against {against} with fewer than {LEAST_SEEDS} seeds"),
    ):
        entries = [entry for entry in compared if entry["iqm_difference"]["verdict"] == verdict]
        if entries:
            clauses.append(f"{_who(entries)} {claim}")
    return "; ".join(clauses) + " (in brackets: IQM gained and its 95 % interval)."


def _who(entries: Sequence[Mapping[str, Any]]) -> str:
    """Each loss once, with the values of the axes and the gain at each."""
    losses: dict[str, list[str]] = {}
    for entry in entries:
        at = axes_name(entry["axes"])
        told = f"({signed(entry['iqm_difference'])})"
        losses.setdefault(loss_name(entry["loss"]), []).append(f"{at} {told}" if at else told)
    joined = [f"{loss} {'at ' if entries[0]['axes'] else ''}{listed(told)}" for loss, told in losses.items()]
    return listed(joined)


def _counts(compared: Sequence[Mapping[str, Any]]) -> str:
    """How many comparisons came out how, and the clearest of them with its interval."""
    verdicts = [entry["iqm_difference"]["verdict"] for entry in compared]
    said = ", ".join(
        f"{verdicts.count(verdict)} {told}"
        for verdict, told in (
            ("higher", "higher"),
            ("lower", "lower"),
            ("undecided", "not told apart"),
            ("too few seeds", "with too few seeds to judge"),
        )
        if verdict in verdicts
    )
    text = f"of {len(compared)} comparisons with {reference_name(compared[0])}: {said}"
    decided = [entry for entry in compared if entry["iqm_difference"]["verdict"] in ("higher", "lower")]
    if decided:
        largest = max(decided, key=lambda entry: abs(entry["iqm_difference"]["value"]))
        text += f"; the largest difference is that of {_name(largest)}, {signed(largest['iqm_difference'])}"
    return text + " (IQM gained and its 95 % interval)."


def _name(entry: Mapping[str, Any]) -> str:
    return group_name(entry["loss"], entry["axes"])


def _tasks(tasks: Sequence[str]) -> str:
    return task_name(tasks[0]) if len(tasks) == 1 else counted(len(tasks), "task")
