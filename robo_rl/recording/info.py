"""What `robo-rl data info` prints of a data set."""

from robo_rl.data.reader import EpisodeSource, summarize
from robo_rl.metrics.statistics import wilson_interval
from robo_rl.specs import ArraySpec


def describe_dataset(source: EpisodeSource) -> str:
    """Size, episodes, steps, success with its interval, who acted, and every feature with unit and range.

    Raises:
        DataError: an episode cannot be read, or is not finite.
    """
    summary = summarize(source)
    size = sum(file.stat().st_size for file in source.path.iterdir() if file.is_file())
    lines = [
        f"{source.path}: {summary.episodes} episodes, {summary.steps} control steps (longest episode "
        f"{summary.longest}), {size / 1e6:.2f} MB",
        f"mean return {summary.mean_return:.3g}",
    ]
    if summary.judged:
        low, high = wilson_interval(summary.successes, summary.judged)
        rate = summary.successes / summary.judged
        lines.append(f"success {rate:.1%} [{low:.1%}, {high:.1%}] of {summary.judged} episodes")
    else:
        lines.append("success unknown: the data set does not record it")
    for name in ("policy", "noise", "seed", "converted_from"):
        if name in source.metadata:
            lines.append(f"{name}: {source.metadata[name]}")
    spec = source.spec
    if spec is None:
        lines += ["made outside this project; features:", str(source.features)]
        return "\n".join(lines)
    lines.append(f"environment {spec.name}, {spec.control_hz:g} control steps per second")
    arrays = {f"observation/{name}": array for name, array in spec.observation.items()} | {"action": spec.action}
    return "\n".join([*lines, *(f"  {name:32} {_describe(array)}" for name, array in arrays.items())])


def _describe(array: ArraySpec) -> str:
    bounds = "" if array.minimum is None and array.maximum is None else f" in [{array.minimum}, {array.maximum}]"
    return f"{array.dtype}{list(array.shape)} {array.unit or 'no unit'}{bounds}"
