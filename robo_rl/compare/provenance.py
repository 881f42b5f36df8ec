"""What the cells' own records say of where they were trained, and of what was equal between them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robo_rl.compare.names import listed
from robo_rl.compare.plan import shared_part_hash, with_defaults
from robo_rl.compare.results import Results
from robo_rl.compare.unread import with_angles_as_read
from robo_rl.config import HeadConfig
from robo_rl.critics.heads import unread_fields

SUM_TOLERANCE = 0.01
"""How far apart the sums of first weights may be where rounding alone tells them apart: by tens for other keys."""


def origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Processor, revision and every version that a cell was trained with, as a table shows them.

    A cell that was resumed elsewhere has more than one of some, oldest first.
    """
    sittings = [_origin(sitting) for sitting in (*record.get("earlier", ()), record)]
    names = dict.fromkeys(name for sitting in sittings for name in sitting)
    told = {name: dict.fromkeys(sitting[name] for sitting in sittings if name in sitting) for name in names}
    return {name: ", then ".join(values) for name, values in told.items()}


def is_mixed(name: str, origins: Sequence[Mapping[str, str]]) -> bool:
    """Whether the cells that say something under `name` do not all say the same."""
    return len({each[name] for each in origins if name in each}) > 1


def mixed_versions(results: Results) -> list[dict[str, Any]]:
    """The tasks whose finished cells were trained by different revisions or versions: `task`, and `what` differs."""
    found = []
    for task in results.plan["tasks"]:
        origins = [origin(cell.record) for cell in results.cells if cell.task == task and cell.status == "finished"]
        names = dict.fromkeys(name for each in origins for name in each if name != "Processor")
        if what := [name for name in names if is_mixed(name, origins)]:
            found.append({"task": task, "what": what})
    return found


def held_equal(results: Results) -> str:
    """What the cells' records prove about the conditions under which they were trained."""
    return f"{_configurations(results)}; {_first_weights(results)}"


def _origin(sitting: Mapping[str, Any]) -> dict[str, str]:
    named = {"Processor": sitting.get("processor"), "Revision": sitting.get("git"), **(sitting.get("versions") or {})}
    # Of a commit the first ten digits, and whether it was changed.
    return {
        name: re.sub(r"^([0-9a-f]{10})[0-9a-f]{30}", r"\1", value) for name, value in named.items() if value is not None
    }


def _configurations(results: Results) -> str:
    configs = [with_defaults(cell.record["config"]) for cell in results.cells if cell.record.get("config")]
    heads = results.plan.get("heads") or {}
    read = with_angles_as_read(_as_read(configs, heads))
    hashes = {shared_part_hash(config, results.plan.get("axes") or {}) for config in read}
    beyond = listed(["loss", "task", "seed", "axes", *(["what a head has for itself"] if heads else [])])
    if len(hashes) > 1:
        return f"NOT the configuration: {len(hashes)} different ones beyond {beyond}"
    if not hashes:
        return "configurations were not recorded"
    return f"one configuration for all cells but for {beyond} (sha256 {hashes.pop()[:12]}...)"


def _as_read(configs: Sequence[Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The configs, with what a loss makes nothing of, or has a value of its own of, as the other cells have it.

    own: loss -> field of its head -> value, as planned; with any other value a cell is not equal to the rest
    """
    heads = [HeadConfig.model_validate(_head_fields(config)) for config in configs]
    aside = [unread_fields(head) | _as_planned(head, own.get(head.loss, {})) for head in heads]
    values: dict[str, Any] = {}
    for head, names in zip(heads, aside, strict=True):
        for name in HeadConfig.model_fields.keys() - names:
            values.setdefault(name, getattr(head, name))
    read = []
    for config, head, names in zip(configs, heads, aside, strict=True):
        filled = {name: values.setdefault(name, getattr(head, name)) for name in names}
        agent = config["agent"]
        read.append({**config, "agent": {**agent, "critic": {**agent["critic"], **filled}}})
    return read


def _as_planned(head: HeadConfig, own: Mapping[str, Any]) -> set[str]:
    return {name for name, value in own.items() if getattr(head, name) == value}


def _head_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config["agent"]["critic"].items() if name in HeadConfig.model_fields}


class _Begun(NamedTuple):
    """With which weights of the trunk a seed of a cell began, and on what."""

    digest: str
    total: float | None
    processor: str | None


def _first_weights(results: Results) -> str:
    """Whether the losses began with the same trunk. Its hashes can say so, and between processors sums of it.

    Orthogonal weights come from a QR decomposition, whose sums each kind of processor orders in its own way.
    """
    begun: dict[tuple[Any, ...], list[_Begun]] = {}
    for cell in results.cells:
        totals = cell.record.get("initial_weights_sum") or {}
        for seed, digest in (cell.record.get("initial_weights") or {}).items():
            same = begun.setdefault((cell.group.axes, cell.task, seed), [])
            same.append(_Begun(digest, totals.get(seed), cell.record.get("processor")))
    if not begun:
        return "initial weights were not recorded"
    unequal = [same for same in begun.values() if len({one.digest for one in same}) > 1]
    count = f"{len(unequal)} of {len(begun)} tasks and seeds"
    if not unequal:
        return "the same initial weights of the trunk for every loss, by task and seed"
    if not all(_may_be_rounding(same) for same in unequal):
        return f"NOT the initial weights: they differ between losses for {count}"
    told = "the same initial weights of the trunk, to the last bit where one processor trained all losses"
    if all(one.total is not None for same in unequal for one in same):
        return f"{told} and but for rounding where not ({count})"
    return f"{told}; where not ({count}), they were drawn from the same seeds, and how far they differ was not recorded"


def _may_be_rounding(same: Sequence[_Begun]) -> bool:
    """Whether weights differ between processors alone, and no more than those round, as far as that was recorded."""
    by_processor = {one.processor: one.digest for one in same}
    one_each = None not in by_processor and all(by_processor[one.processor] == one.digest for one in same)
    totals = [one.total for one in same if one.total is not None]
    return one_each and (not totals or max(totals) - min(totals) <= SUM_TOLERANCE)
