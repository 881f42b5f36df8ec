"""Simulations in worker processes: each member of a population has its units there, and all are stepped at once."""

import contextlib
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from robo_rl import envs
from robo_rl.config import EnvConfig
from robo_rl.envs.interface import BatchedEnvironment, BatchStep
from robo_rl.errors import RunFailedError, UserError
from robo_rl.runtimes.processes import GONE, Child
from robo_rl.specs import EnvSpec


class UnitKind(NamedTuple):
    """What the units of one name are, e.g. those for training: `size` simulations of `config` each."""

    config: EnvConfig
    size: int


def simulate(report: Connection, kinds: Mapping[str, UnitKind]) -> None:
    """What a worker does: make units when they are first named, and call their methods until the parent is gone.

    A request is (kind, method, unit -> arguments), its answer ("result", unit -> what the method gave). JAX is never
    imported here. SIGTERM is left to the parent, which still needs its workers to reach a checkpoint; they go with it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    units: dict[tuple[str, int], BatchedEnvironment] = {}
    while True:
        try:
            kind, method, arguments = report.recv()
        except EOFError:
            return
        results = {}
        for unit, args in arguments.items():
            if (kind, unit) not in units:
                units[kind, unit] = envs.make_batched(kinds[kind].config, kinds[kind].size)
            results[unit] = getattr(units[kind, unit], method)(*args)
        report.send(("result", results))


class Workers:
    """The worker processes of one population; a context manager that ends them, whatever happens."""

    def __init__(self, kinds: Mapping[str, UnitKind], units: int, workers: int, environment: Mapping[str, str]) -> None:
        """Start `workers` processes (at most one per unit); unit u lies in the process u modulo their number."""
        self.kinds, self.units = dict(kinds), units
        self._children = [
            Child(f"simulations {number}", simulate, (self.kinds,), environment)
            for number in range(min(workers, units))
        ]

    def call(self, kind: str, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """unit -> what `method(*arguments[unit])` gave; the workers compute side by side.

        Raises:
            UserError: what a simulation raised for the user.
            RunFailedError: a simulation raised anything else, or a worker died.
        """
        count = len(self._children)
        shares = [{unit: args for unit, args in arguments.items() if unit % count == worker} for worker in range(count)]
        busy = [(child, share) for child, share in zip(self._children, shares, strict=True) if share]
        for child, share in busy:
            _send(child, (kind, method, share))
        results: dict[int, Any] = {}
        for child, _ in busy:
            results |= _receive(child)
        return results

    def pids(self) -> list[int]:
        """The processes."""
        return [child.process.pid for child in self._children if child.process.pid is not None]

    def close(self) -> None:
        """End every worker and whatever it started."""
        for child in self._children:
            child.kill()

    def __enter__(self) -> Self:
        """The workers themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self.close()


def _send(child: Child, request: tuple[str, str, dict[int, Any]]) -> None:
    # A worker that is gone is noticed by reading, which follows and finds its last words.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        child.connection.send(request)


def _receive(child: Child) -> dict[int, Any]:
    try:
        kind, what = child.connection.recv()
    except GONE:
        child.process.join(timeout=5)
        raise RunFailedError(
            f"{child.name} died (exit code {child.process.exitcode}). The system may have killed it: "
            "look at the memory in use, and start the same command again to resume."
        ) from None
    if kind == "failed":
        is_users, text = what
        raise UserError(text) if is_users else RunFailedError(f"{child.name} failed:\n{text}")
    return what


class Unit:
    """One unit as a BatchedEnvironment, whose simulations live in a worker."""

    def __init__(self, workers: Workers, kind: str, unit: int, spec: EnvSpec) -> None:
        """Unit `unit` of `kind`; `spec` is that of its simulations."""
        self._workers, self._kind, self._unit = workers, kind, unit
        self.spec, self.num_envs = spec, workers.kinds[kind].size

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """As BatchedEnvironment says."""
        return self._call("reset", list(indices), list(seeds))

    def step(self, actions: np.ndarray) -> BatchStep:
        """As BatchedEnvironment says."""
        return self._call("step", actions)

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """As BatchedEnvironment says."""
        return self._call("kinds", list(indices))

    def render(self, index: int, height: int = 240, width: int = 320) -> np.ndarray:
        """As BatchedEnvironment says."""
        return self._call("render", index, height, width)

    def close(self) -> None:
        """Nothing: the simulations end with their workers."""

    def _call(self, method: str, *args: Any) -> Any:
        return self._workers.call(self._kind, method, {self._unit: args})[self._unit]


class AllUnits:
    """All units of a kind as one BatchedEnvironment: simulation i is number i % size of unit i // size."""

    def __init__(self, workers: Workers, kind: str, spec: EnvSpec) -> None:
        """Every unit of `kind`; `spec` is that of their simulations."""
        self._workers, self._kind, self._size = workers, kind, workers.kinds[kind].size
        self.spec, self.num_envs = spec, workers.units * self._size

    def step(self, actions: np.ndarray) -> BatchStep:
        """As BatchedEnvironment says: `actions [N, A]`, all workers at once."""
        return _joined(self.step_units(actions.reshape(self._workers.units, self._size, *actions.shape[1:])))

    def step_units(self, actions: np.ndarray) -> list[BatchStep]:
        """The same for `actions [U, size, A]`, one BatchStep for each unit."""
        assert actions.shape[:2] == (self._workers.units, self._size), actions.shape
        steps = self._workers.call(self._kind, "step", {unit: (own,) for unit, own in enumerate(actions)})
        return [steps[unit] for unit in range(self._workers.units)]

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """As BatchedEnvironment says."""
        wanted = self._by_unit(indices)
        arguments = {
            unit: ([indices[at] % self._size for at in places], [seeds[at] for at in places])
            for unit, places in wanted.items()
        }
        fresh = self._workers.call(self._kind, "reset", arguments)
        shapes = {name: (len(indices), *array.shape) for name, array in self.spec.observation.items()}
        result = {name: np.zeros(shape, self.spec.observation[name].dtype) for name, shape in shapes.items()}
        for unit, places in wanted.items():
            for name in result:
                result[name][places] = fresh[unit][name]
        return result

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """As BatchedEnvironment says."""
        wanted = self._by_unit(indices)
        arguments = {unit: ([indices[at] % self._size for at in places],) for unit, places in wanted.items()}
        named = self._workers.call(self._kind, "kinds", arguments)
        of_place = {at: name for unit, places in wanted.items() for at, name in zip(places, named[unit], strict=True)}
        return [of_place[at] for at in range(len(indices))]

    def render(self, index: int, height: int = 240, width: int = 320) -> np.ndarray:
        """As BatchedEnvironment says."""
        return Unit(self._workers, self._kind, index // self._size, self.spec).render(index % self._size, height, width)

    def close(self) -> None:
        """Nothing: the simulations end with their workers."""

    def _by_unit(self, indices: Sequence[int]) -> dict[int, list[int]]:
        """unit -> which of `indices` are its own, as places in that list."""
        places: dict[int, list[int]] = {}
        for at, index in enumerate(indices):
            places.setdefault(index // self._size, []).append(at)
        return places


def _joined(steps: Sequence[BatchStep]) -> BatchStep:
    observation = {name: np.concatenate([step.observation[name] for step in steps]) for name in steps[0].observation}
    rest = (np.concatenate(parts) for parts in zip(*(step[1:] for step in steps), strict=True))
    return BatchStep(observation, *rest)
