"""The optimiser that agents share."""

import jax
import optax

from robo_rl.networks.network import Params


def make_optimizer(learning_rate: float, weight_decay: float, max_gradient_norm: float) -> optax.GradientTransformation:
    """AdamW that decays kernels only, behind a clip of the global gradient norm."""

    # Told by name and not by rank: in an ensemble a bias has two axes as well.
    def kernels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)

    return optax.chain(
        optax.clip_by_global_norm(max_gradient_norm),
        optax.adamw(learning_rate, weight_decay=weight_decay, mask=kernels),
    )


def step(
    optimizer: optax.GradientTransformation, gradient: Params, state: optax.OptState, params: Params
) -> tuple[Params, optax.OptState]:
    """One optimiser step: new parameters and new optimiser state."""
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state
