"""Soft actor-critic with any value head (Haarnoja et al. 2018, arXiv 1812.05905; equation numbers are theirs).

The critics form an ensemble whose next values are combined by mean or minimum; a value head turns a critic's outputs
into a value and a Bellman target into a loss, by regression or by classification (Farebrother et al. 2024,
arXiv 2403.03950). Rewards are divided by a running return statistic (SimbaV2, arXiv 2502.15280, section 4.2), so
values, temperature and entropy live in scaled units; metrics in return units are multiplied back.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from robo_rl.agents.agent import Agent, Metrics
from robo_rl.config import SACConfig
from robo_rl.critics import return_scaling
from robo_rl.critics.head import ValueHead, combine
from robo_rl.networks import normalizer
from robo_rl.networks.actor_critic import flatten, greedy_action, make_actor, make_critic, sample_action
from robo_rl.networks.network import Params, ensemble
from robo_rl.specs import Array, EnvSpec, Experience, Observation, Transition


class SACState(NamedTuple):
    """All that learning changes. Critics carry a leading ensemble axis."""

    actor: Params
    critics: Params
    target_critics: Params
    log_temperature: Array
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    temperature_optimizer: optax.OptState
    returns: return_scaling.ReturnStatistics
    observations: normalizer.ObservationStatistics


class SACPolicy(NamedTuple):
    """All that acting needs."""

    actor: Params
    observations: normalizer.ObservationStatistics


def make_sac(config: SACConfig, spec: EnvSpec, head: ValueHead) -> Agent:
    """The five functions of a SAC agent for this environment and value head."""
    actor = make_actor(config.actor_network, spec)
    critic = ensemble(make_critic(config.critic_network, spec, head.num_outputs), config.critic.ensemble)
    optimizer = make_optimizer(config.learning_rate, config.weight_decay, config.max_gradient_norm)
    temperature_optimizer = optax.adam(config.temperature_learning_rate)
    action_size = spec.action.shape[0]
    target_entropy = config.target_entropy_per_dimension * action_size

    def init(key: Array) -> SACState:
        key_actor, key_critic = jax.random.split(key)
        actor_params, critic_params = actor.init(key_actor), critic.init(key_critic)
        log_temperature = jnp.log(jnp.float32(config.initial_temperature))
        return SACState(
            actor=actor_params,
            critics=critic_params,
            target_critics=jax.tree.map(jnp.copy, critic_params),
            log_temperature=log_temperature,
            actor_optimizer=optimizer.init(actor_params),
            critic_optimizer=optimizer.init(critic_params),
            temperature_optimizer=temperature_optimizer.init(log_temperature),
            returns=return_scaling.init(),
            observations=normalizer.init(spec),
        )

    def features(statistics: normalizer.ObservationStatistics, observation: Observation) -> Array:
        if config.normalize_observations:
            observation = normalizer.normalize(statistics, observation)
        return flatten(observation)

    def reward_scale(state: SACState) -> Array:
        if not config.scale_rewards:
            return jnp.float32(1)
        temperature = jnp.exp(state.log_temperature) if config.entropy_in_target else jnp.float32(0)
        room = return_scaling.entropy_room(temperature, action_size, config.discount)
        return return_scaling.scale(state.returns, config.critic.v_max, room)

    def values(critics: Params, x: Array, action: Array) -> Array:
        """Ensemble value `[B]` of actions `[B, A]` in states `x [B, D]`."""
        outputs = critic.apply(critics, x, action)
        return jax.vmap(lambda member: head.value(combine(head, member, config.critic.combine)), in_axes=1)(outputs)

    def critic_loss(critics: Params, state: SACState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        """J_Q, eq. 5 and 6: the entropy of the next action is part of the value, so it is discounted and masked."""
        x, next_x = (features(state.observations, o) for o in (batch.observation, batch.next_observation))
        scale = reward_scale(state)
        next_action, next_log_prob = sample_action(actor.apply(state.actor, next_x), key)
        bonus = -jnp.exp(state.log_temperature) * next_log_prob * config.entropy_in_target
        next_outputs = critic.apply(state.target_critics, next_x, next_action)
        next_combined = jax.vmap(lambda one: combine(head, one, config.critic.combine), in_axes=1)(next_outputs)
        target = jax.vmap(head.target)(batch.reward / scale, batch.discount, next_combined, bonus)

        outputs = critic.apply(critics, x, batch.action)
        losses = jax.vmap(jax.vmap(head.loss), in_axes=(0, None))(outputs, target)
        q = jax.vmap(jax.vmap(head.value))(outputs) * scale
        return losses.mean(axis=1).sum(), {
            "critic_loss": losses.mean(),
            "clipped_fraction": target.clipped.mean(),
            "q_mean": q.mean(),
            "q_min": q.min(),
            "q_max": q.max(),
            "reward_scale": scale,
        }

    def actor_loss(actor_params: Params, state: SACState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        """J_pi, eq. 9: reparameterised actions, ascending the value and the entropy."""
        x = features(state.observations, batch.observation)
        action, log_prob = sample_action(actor.apply(actor_params, x), key)
        loss = jnp.mean(jnp.exp(state.log_temperature) * log_prob - values(state.critics, x, action))
        return loss, {"actor_loss": loss, "entropy": -log_prob.mean()}

    def temperature_loss(log_temperature: Array, entropy: Array) -> Array:
        """J_alpha, eq. 18, on the log of the temperature: rises while the entropy is below its target."""
        return log_temperature * jax.lax.stop_gradient(entropy - target_entropy)

    def update(state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        key_critic, key_actor = jax.random.split(key)
        gradient, critic_metrics = jax.grad(critic_loss, has_aux=True)(state.critics, state, batch, key_critic)
        critics, critic_optimizer, critic_norm = apply(optimizer, gradient, state.critic_optimizer, state.critics)
        state = state._replace(
            critics=critics,
            critic_optimizer=critic_optimizer,
            target_critics=optax.incremental_update(critics, state.target_critics, config.target_rate),
        )
        gradient, actor_metrics = jax.grad(actor_loss, has_aux=True)(state.actor, state, batch, key_actor)
        actor_params, actor_optimizer, actor_norm = apply(optimizer, gradient, state.actor_optimizer, state.actor)
        gradient = jax.grad(temperature_loss)(state.log_temperature, actor_metrics["entropy"])
        log_temperature, temperature_state, _ = apply(
            temperature_optimizer, gradient, state.temperature_optimizer, state.log_temperature
        )
        norms = {"critic_gradient_norm": critic_norm, "actor_gradient_norm": actor_norm}
        metrics = {**critic_metrics, **actor_metrics, **norms, "temperature": jnp.exp(state.log_temperature)}
        return state._replace(
            actor=actor_params,
            actor_optimizer=actor_optimizer,
            log_temperature=log_temperature,
            temperature_optimizer=temperature_state,
        ), metrics

    def act(policy: SACPolicy, observation: Observation, key: Array, explore: bool) -> Array:
        outputs = actor.apply(policy.actor, features(policy.observations, observation))
        return sample_action(outputs, key)[0] if explore else greedy_action(outputs)

    def policy(state: SACState) -> SACPolicy:
        return SACPolicy(state.actor, state.observations)

    def observe(state: SACState, experience: Experience, mask: Array) -> SACState:
        return state._replace(
            returns=return_scaling.update(state.returns, experience.running_return, mask),
            observations=normalizer.update(state.observations, experience.transition.observation, mask),
        )

    return Agent(init, act, update, policy, observe)


def make_optimizer(
    learning_rate: float, weight_decay: float, max_gradient_norm: float
) -> optax.GradientTransformationExtraArgs:
    """AdamW that decays kernels only, behind a clip of the global gradient norm."""

    def kernels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)

    return optax.chain(
        optax.clip_by_global_norm(max_gradient_norm),
        optax.adamw(learning_rate, weight_decay=weight_decay, mask=kernels),
    )


def apply(
    optimizer: optax.GradientTransformation, gradient: Params, state: optax.OptState, params: Params
) -> tuple[Params, optax.OptState, Array]:
    """One optimiser step: new parameters, new optimiser state, and the gradient's norm before clipping."""
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, optax.global_norm(gradient)
