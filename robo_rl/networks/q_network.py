"""A Q-function that is asked about many actions in each state: what depends on the state alone is computed once."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from robo_rl.config import NetworkConfig
from robo_rl.networks.actor_critic import Critic, flat_size, flatten
from robo_rl.networks.network import Params, separated
from robo_rl.specs import Array, EnvSpec, Observation


class QNetwork(NamedTuple):
    """Three pure functions; an image trunk has the same face, with features of another kind.

    init:   key, outputs `[O]` -> params of a network that gives these outputs for every state and action
    encode: params, normalised observation `[B, ...]` -> features `[B, ...]`
    value:  params, features `[B, ...]`, actions `[B, S, A]` -> head outputs `[B, S, O]` of S actions in each state
    """

    init: Callable[[Array, Array], Params]
    encode: Callable[[Params, Observation], Array]
    value: Callable[[Params, Array, Array], Array]


def make_q_network(config: NetworkConfig, spec: EnvSpec, outputs: int) -> QNetwork:
    """The Q-network of flat observations: a critic whose first layer W [s; a] + b is split into (W_s s + b) + W_a a.

    The features are the state's part of it, `[B, width]`. The sum is the one that a `Critic` computes, whatever the
    trunk behind it.
    """
    states, actions = flat_size(spec), spec.action.shape[0]
    init_critic, restore = separated(lambda rngs: Critic(config, states + actions, outputs, rngs=rngs))

    def init(key: Array, first_outputs: Array) -> Params:
        params = init_critic(key)
        # The last kernel starts at zero, so the bias alone decides what a new network says.
        params["head"]["bias"] = jnp.broadcast_to(first_outputs, params["head"]["bias"].shape)
        return params

    def encode(params: Params, observation: Observation) -> Array:
        x = flatten(observation)
        first = restore(params).trunk.first
        return x @ first.kernel[:states] + first.bias

    def value(params: Params, features: Array, action: Array) -> Array:
        """What follows the state's part of the first layer, for each of the S actions."""
        if action.ndim != 3 or action.shape[-1] != actions or features.shape != (action.shape[0], config.width):
            raise ValueError(
                f"A Q-network takes features [B, {config.width}] and actions [B, S, {actions}], got "
                f"{list(features.shape)} and {list(action.shape)}."
            )
        critic = restore(params)
        acted = action @ critic.trunk.first.kernel[states:]
        return critic.head(critic.trunk.after_first(features[:, None, :] + acted))

    return QNetwork(init, encode, value)


def value_of(network: QNetwork, params: Params, features: Array, action: Array) -> Array:
    """Head outputs `[B, O]` of one action `[B, A]` in each state."""
    return jnp.squeeze(network.value(params, features, action[:, None, :]), axis=1)
