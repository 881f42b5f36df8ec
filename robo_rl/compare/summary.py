"""summary.json: everything the report says in numbers, made from scores.csv and the plan alone."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from robo_rl.compare import statistics
from robo_rl.compare.provenance import mixed_versions
from robo_rl.compare.published import published_at, published_over
from robo_rl.compare.results import Results, curves, final_scores, raw_final_scores
from robo_rl.compare.scores import SUITE_RETURN, Group, quantity
from robo_rl.compare.statistics import Estimate
from robo_rl.compare.wording import answer
from robo_rl.metrics.statistics import wilson_interval

BASELINE = "mse"
"""The loss that the others are measured against, where it takes part; else the first of the plan."""


class Repetitions(NamedTuple):
    """Resamples behind the intervals: of aggregates and their differences, and of everything else."""

    aggregates: int
    others: int


def summarise(results: Results, repetitions: int = statistics.REPETITIONS) -> dict[str, Any]:
    """The content of summary.json.

    repetitions: resamples behind the intervals of aggregates and their differences; all else takes at most as many

    Scores are read at the end of the budget; aggregates are over the tasks that every compared group has finished.

    Raises:
        UserError: rliable is missing.
    """
    plan, counts = results.plan, Repetitions(repetitions, min(repetitions, statistics.PAIR_REPETITIONS))
    groups, tasks = results.compared()
    entries = [_group_entry(results, group, tasks, counts) for group in groups]
    if tasks:
        _compare_with_reference(results, groups, tasks, entries, counts)
    summary: dict[str, Any] = {
        "question": plan["question"],
        "env_steps": plan["env_steps"],
        "tasks": tasks,
        "tasks_left_out": [task for task in plan["tasks"] if task not in tasks],
        "tasks_without_scale": results.without_scale(),
        "losses": list(plan["losses"]),
        "axes": dict(plan.get("axes") or {}),
        "reporting_seeds": list(plan["seeds"]),
        "tuning_seeds": list(plan.get("tuning_seeds") or []),
        "cells": {s: sum(c.status == s for c in results.cells) for s in ("finished", "failed", "running", "not begun")},
        "failed": _failed(results),
        "mixed_versions": mixed_versions(results),
        "scale": f"success as it is; returns of suite tasks divided by {SUITE_RETURN:g}",
        "bootstrap": {
            "library": f"rliable {metadata.version('rliable')}",
            "how": "np.random.seed(seed) before each call; percentile intervals; seeds resampled within tasks",
            "seed": statistics.BOOTSTRAP_SEED,
            "confidence": statistics.CONFIDENCE,
            "repetitions": counts.aggregates,
            "repetitions_of_pairs_profiles_curves_and_tasks": counts.others,
            "differences_of_single_tasks": "Welch's t interval, no resampling",
        },
        "groups": entries,
        "published": _published(tasks, plan["env_steps"]) if tasks else [],
        # Every planned task, also those without a finished cell: what is missing must be seen to be missing.
        "per_task": [_task_entry(results, task, groups, counts) for task in plan["tasks"]],
    }
    summary["answer"] = answer(summary)
    return summary


def reference_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """What `group` is measured against: the baseline loss at the same axis values; with a single loss its first value.

    None for the reference itself, and where the reference has nothing finished.
    """
    # Losses with something finished: where the baseline failed throughout, another must stand in for it.
    losses = list(dict.fromkeys(other.loss for other in groups))
    baseline = BASELINE if BASELINE in losses else losses[0]
    reference = groups[0] if len(losses) == 1 else Group(baseline, group.axes)
    return reference if reference != group and reference in groups else None


def _group_entry(results: Results, group: Group, tasks: Sequence[str], counts: Repetitions) -> dict[str, Any]:
    seeds = results.common_seeds(group, tasks)
    entry: dict[str, Any] = {"loss": group.loss, "axes": dict(group.axes), "seeds": seeds}
    if not tasks or not seeds:
        return entry
    scores = final_scores(results, group, tasks)
    entry |= {name: estimate._asdict() for name, estimate in statistics.aggregates(scores, counts.aggregates).items()}
    thresholds = statistics.THRESHOLDS
    entry["profile"] = {"threshold": list(thresholds), **_series(statistics.profile(scores, thresholds, counts.others))}
    steps, values = curves(results, group, tasks, seeds)
    if steps:
        entry["curve"] = {"env_steps": steps, **_series(statistics.curve(values, counts.others))}
    return entry


def _compare_with_reference(
    results: Results,
    groups: Sequence[Group],
    tasks: Sequence[str],
    entries: Sequence[dict[str, Any]],
    counts: Repetitions,
) -> None:
    """Add to each entry how it differs from its reference."""
    for group, entry in zip(groups, entries, strict=True):
        reference = reference_of(group, groups)
        if reference is None:
            continue
        scores, others = final_scores(results, group, tasks), final_scores(results, reference, tasks)
        seeds = min(len(scores), len(others))
        gained = statistics.difference(scores, others, counts.aggregates)
        better = statistics.improvement(scores, others, counts.others)
        entry["reference"] = {"loss": reference.loss, "axes": dict(reference.axes)}
        entry["iqm_difference"] = {**gained._asdict(), "verdict": statistics.verdict(gained, 0.0, seeds)}
        entry["probability_of_improvement"] = {
            **better._asdict(),
            "verdict": statistics.verdict(better, 0.5, seeds),
        }


def _task_entry(results: Results, task: str, groups: Sequence[Group], counts: Repetitions) -> dict[str, Any]:
    """One task in its own unit: the mean of each of `groups` that finished it, and what was published at our steps."""
    has_success = any(score.success is not None for score in results.scores if score.task == task)
    rows, steps = [], set()
    for group in groups:
        if task not in results.finished(group):
            continue
        seeds = results.common_seeds(group, [task])
        final = raw_final_scores(results, group, task)
        mean = statistics.task_mean(final, counts.others)
        at, values = curves(results, group, [task], seeds, quantity)
        steps.update(at)
        rows.append(
            {
                "loss": group.loss,
                "axes": dict(group.axes),
                "seeds": seeds,
                **mean._asdict(),
                **_task_difference(results, task, final, reference_of(group, groups)),
                **(_wilson(results, final) if has_success else {}),
                "curve": {"env_steps": at, **_series(statistics.task_curve(values[:, 0], counts.others))},
            }
        )
    # Where episodes are cut short, returns are not those of the published ones.
    comparable = [] if task in results.without_scale() else published_at(task, sorted(steps))
    published = [row._asdict() for row in comparable]
    return {
        "task": task,
        "quantity": "success rate" if has_success else "return",
        "groups": rows,
        "published": published,
    }


def _task_difference(results: Results, task: str, final: Sequence[float], reference: Group | None) -> dict[str, Any]:
    """By how much the mean of `final [seed]` differs from that of the reference on the same task.

    Empty for the reference itself, where it has not finished the task, and where a single seed shows no spread.
    """
    others = raw_final_scores(results, reference, task) if reference and task in results.finished(reference) else []
    if reference is None or min(len(final), len(others)) < 2:
        return {}
    gained = statistics.task_difference(final, others)
    verdict = statistics.verdict(gained, 0.0, min(len(final), len(others)))
    return {
        "reference": {"loss": reference.loss, "axes": dict(reference.axes)},
        "difference": {**gained._asdict(), "verdict": verdict},
    }


def _failed(results: Results) -> list[dict[str, Any]]:
    """Each group that failed on a task with every seed that it tried, and on which tasks."""
    tasks: dict[Group, list[str]] = {}
    for cell in results.cells:
        if cell.status == "failed" and cell.task not in results.finished(cell.group):
            tasks.setdefault(cell.group, []).append(cell.task)
    return [{"loss": group.loss, "axes": dict(group.axes), "tasks": found} for group, found in tasks.items()]


def _published(tasks: Sequence[str], env_steps: int) -> list[dict[str, Any]]:
    """What others reached over the same tasks after as many steps, on the scale of our aggregates."""
    return [
        {**row._asdict(), "mean": row.mean / SUITE_RETURN, "median": row.median / SUITE_RETURN}
        for row in published_over(tasks, env_steps)
    ]


def _wilson(results: Results, rates: Sequence[float]) -> dict[str, Any]:
    """Wilson's interval of the success rate over the final episodes of all seeds; empty if their number is unknown.

    It takes every episode as independent, which those of one seed are not: a floor on the width, not the width.
    """
    episodes = results.plan.get("final_evaluation_episodes")
    if not episodes:
        return {}
    total = episodes * len(rates)
    low, high = wilson_interval(round(sum(rates) * episodes), total)
    return {"wilson": {"low": low, "high": high, "episodes": total}}


def _series(estimates: Sequence[Estimate]) -> Mapping[str, list[float]]:
    return {name: [getattr(estimate, name) for estimate in estimates] for name in Estimate._fields}
