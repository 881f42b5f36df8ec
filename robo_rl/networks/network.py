"""Modules are written in flax nnx, and used as two pure functions over a plain dict of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
from flax import nnx

from robo_rl.specs import Array

Params = Any
"""A nested dict of arrays."""


Module = TypeVar("Module", bound=nnx.Module)


class Network(NamedTuple):
    """A module as pure functions: `init(key) -> params`, `apply(params, *inputs) -> outputs`."""

    init: Callable[[Array], Params]
    apply: Callable[..., Array]


def functional(build: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """The pure functions of the module that `build` makes from random number streams.

    Merging the module anew in each call costs nothing once the caller is jitted, and leaves parameters that vmap,
    scan, donate and save as they are.
    """
    init, restore = separated(build)
    return Network(init, lambda params, *inputs: restore(params)(*inputs))


def separated(build: Callable[[nnx.Rngs], Module]) -> tuple[Callable[[Array], Params], Callable[[Params], Module]]:
    """`init(key) -> params` and `restore(params) -> module`, for a module that is used in more than one way."""
    # The structure alone: no parameter is made here, so that building a network needs no device.
    graph = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param)[0]

    def init(key: Array) -> Params:
        return nnx.to_pure_dict(nnx.state(build(nnx.Rngs(key)), nnx.Param))

    return init, lambda params: nnx.merge(graph, nnx.State(params))


def one_after_another(make: Callable[[Array], Any], keys: Array) -> Any:
    """`make` of every key in `keys [n]`, stacked `[n, ...]`: what a vmap gives, to the last bit.

    A vmap may never return: on a machine with few cores, XLA's thread pool waits for itself when several layers draw
    batches of orthogonal matrices at once (seen with jaxlib 0.10.2 on 2 cores, with 10 networks of width 256).
    """
    return jax.lax.map(make, keys)


def ensemble(network: Network, members: int) -> Network:
    """`members` networks with weights of their own and the same inputs; outputs gain a leading axis `[E, ...]`."""

    def init(key: Array) -> Params:
        return one_after_another(network.init, jax.random.split(key, members))

    def apply(params: Params, *inputs: Array) -> Array:
        return jax.vmap(lambda one: network.apply(one, *inputs))(params)

    return Network(init, apply)
