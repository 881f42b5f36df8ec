"""How losses, groups and axes are called in sentences, tables and plots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_LOSSES: Mapping[str, str] = {
    "mse": "MSE",
    "huber": "Huber",
    "two_hot": "Two-Hot",
    "c51": "C51",
    "hl_gauss": "HL-Gauss",
    "quantile": "Quantile",
    "softmax_mse": "Softmax + MSE",
}


def loss_name(loss: str) -> str:
    """A loss as people write it; one that is not known here keeps its name in the configuration."""
    return _LOSSES.get(loss, loss)


def axis_name(field: str, fields: Iterable[str] = ()) -> str:
    """The last parts of a dotted field, in words: as few as tell it from the other `fields`."""
    parts = field.split(".")
    others = [other.split(".") for other in fields if other != field]
    count = next(n for n in range(1, len(parts) + 1) if all(other[-n:] != parts[-n:] for other in others))
    return " ".join(parts[-count:]).replace("_", " ")


def value_name(value: Any) -> str:
    """One value of an axis, short."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def axes_name(axes: Mapping[str, Any]) -> str:
    """The values of all axes, `width 256, noise 0.1`; empty without axes."""
    return ", ".join(f"{axis_name(field, axes)} {value_name(value)}" for field, value in axes.items())


def group_name(loss: str, axes: Mapping[str, Any]) -> str:
    """A loss and the values of the axes."""
    return loss_name(loss) + (f" at {axes_name(axes)}" if axes else "")


def reference_name(entry: Mapping[str, Any]) -> str:
    """What a group of summary.json is measured against: a loss at the same setting, or its own first setting."""
    reference = entry["reference"]
    if entry["loss"] == reference["loss"]:
        return axes_name(reference["axes"])
    return loss_name(reference["loss"]) + (" at the same setting" if reference["axes"] else "")


def task_name(task: str) -> str:
    """A task without its family where that is the suite, which is most often meant."""
    return task.removeprefix("suite/")


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def counted(number: int, noun: str) -> str:
    """`1 task`, `7 tasks`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
