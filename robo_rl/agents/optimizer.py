"""The optimiser that agents share."""

import jax
import optax

from robo_rl.config import QTOptConfig, SACConfig
from robo_rl.networks.network import Params


def make_optimizer(config: SACConfig | QTOptConfig) -> optax.GradientTransformation:
    """AdamW that decays kernels only, behind a clip of the global gradient norm; its rate may fall in a line."""
    # Without a decay a plain number and no schedule: the state has no counter then, as in checkpoints of old.
    learning_rate = config.learning_rate
    if config.learning_rate_decay_updates:
        learning_rate = optax.linear_schedule(
            config.learning_rate, config.final_learning_rate, config.learning_rate_decay_updates
        )

    # Told by name and not by rank: in an ensemble a bias has two axes as well.
    def kernels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)

    return optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        optax.adamw(learning_rate, weight_decay=config.weight_decay, mask=kernels),
    )


def step(
    optimizer: optax.GradientTransformation, gradient: Params, state: optax.OptState, params: Params
) -> tuple[Params, optax.OptState]:
    """One optimiser step: new parameters and new optimiser state."""
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state
