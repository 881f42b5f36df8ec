"""Soft actor-critic with any value head (Haarnoja et al. 2018, arXiv 1812.05905; equation numbers are theirs).

The critics form an ensemble whose next values are combined by mean or minimum; a value head turns a critic's outputs
into a value and a Bellman target into a loss, by regression or by classification (Farebrother et al. 2024,
arXiv 2403.03950). Rewards are divided by a running return statistic (SimbaV2, arXiv 2502.15280, section 4.2), so
values, temperature and entropy live in scaled units; metrics in return units are multiplied back.

Images are encoded once for all networks: the critics' loss trains the encoder, the actor reads what it gives
(`networks.features`), and training images are shifted at random. Without images the encoder flattens, no more.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from robo_rl.agents.agent import Agent, Metrics
from robo_rl.agents.following_values import with_following_values
from robo_rl.agents.optimizer import make_optimizer, step
from robo_rl.agents.policy_average import with_policy_average
from robo_rl.agents.read_angles import with_angles_read
from robo_rl.config import SACConfig
from robo_rl.critics import return_scaling
from robo_rl.critics.head import ValueHead, combine
from robo_rl.networks import normalizer
from robo_rl.networks.actor_critic import greedy_action, make_actor, make_critic, sample_action, squashed_action
from robo_rl.networks.angles import has_angles
from robo_rl.networks.exploration import lasting_noise
from robo_rl.networks.features import make_encoder
from robo_rl.networks.network import Network, Params, ensemble
from robo_rl.networks.random_shift import augment
from robo_rl.specs import Array, EnvSpec, Experience, Observation, Transition


class SACState(NamedTuple):
    """All that learning changes. Critics carry a leading ensemble axis; their optimiser trains the encoder too."""

    encoder: Params
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

    encoder: Params
    actor: Params
    observations: normalizer.ObservationStatistics


@dataclasses.dataclass(frozen=True)
class SAC:
    """The equations, over the networks and the value head they need; it holds no state."""

    config: SACConfig
    action_size: int
    spec: EnvSpec
    head: ValueHead
    encoder: Network
    actor: Network
    critic: Network
    optimizer: optax.GradientTransformation
    temperature_optimizer: optax.GradientTransformation

    def init(self, key: Array) -> SACState:
        """A fresh state; the targets start as copies of the critics."""
        key_actor, key_critic = jax.random.split(key)
        actor, critics = self.actor.init(key_actor), self.critic.init(key_critic)
        encoder = self.encoder.init(jax.random.fold_in(key, 2))
        log_temperature = jnp.log(jnp.float32(self.config.initial_temperature))
        return SACState(
            encoder=encoder,
            actor=actor,
            critics=critics,
            target_critics=jax.tree.map(jnp.copy, critics),
            log_temperature=log_temperature,
            actor_optimizer=self.optimizer.init(actor),
            critic_optimizer=self.optimizer.init((encoder, critics)),
            temperature_optimizer=self.temperature_optimizer.init(log_temperature),
            returns=return_scaling.init(),
            observations=normalizer.init(self.spec),
        )

    def critic_loss(
        self,
        learned: tuple[Params, Params],
        state: SACState,
        batch: Transition,
        key: Array,
        conversion: Array | float = 1.0,
    ) -> tuple[Array, tuple[Metrics, Array]]:
        """J_Q, eq. 5 and 6: the entropy of the next action is part of the value, so it is discounted and masked.

        With n steps per transition, the bonus is that of the action after them alone; those between get none.
        `learned` are encoder and critics; `conversion []` brings target values into the reward scale of today. Besides
        the metrics it gives the features `[B, D]` of the observations.
        """
        encoder, critics = learned
        x = self.features(encoder, state.observations, batch.observation)
        next_x = self.features(state.encoder, state.observations, batch.next_observation)
        scale = self.reward_scale(state)

        next_action, next_log_prob = sample_action(self.actor.apply(state.actor, next_x), key)
        # Only rewards are divided: the temperature, and with it the bonus, lives in scaled units already.
        bonus = -jnp.exp(state.log_temperature) * next_log_prob * self.config.entropy_in_target
        next_outputs = self.combined(state.target_critics, next_x, next_action)
        # r / s + d (c V + bonus): a head multiplies the sum of value and bonus by the discount that it is given.
        target = jax.vmap(self.head.target)(
            batch.reward / scale, batch.discount * conversion, next_outputs, bonus / conversion
        )

        # Every member learns from the same target, so that the ensemble differs by its first weights alone.
        outputs = self.critic.apply(critics, x, batch.action)
        losses = jax.vmap(jax.vmap(self.head.loss), in_axes=(0, None))(outputs, target)
        q = jax.vmap(jax.vmap(self.head.value))(outputs) * scale
        metrics = {"critic_loss": losses.mean(), "clipped_fraction": target.clipped.mean(), "reward_scale": scale}
        metrics |= {"q_mean": q.mean(), "q_min": q.min(), "q_max": q.max()}
        if self.config.scale_rewards:
            shortfall = return_scaling.room_shortfall(self.config.critic.v_max, self.entropy_room(state))
            metrics["entropy_room_shortfall"] = shortfall
        return losses.mean(axis=1).sum(), (metrics, x)

    def actor_loss(self, actor: Params, state: SACState, x: Array, key: Array) -> tuple[Array, Metrics]:
        """J_pi, eq. 9: reparameterised actions for features `x [B, D]` climb the value and the entropy."""
        action, log_prob = sample_action(self.actor.apply(actor, x), key)
        q = jax.vmap(self.head.value)(self.combined(state.critics, x, action))
        loss = jnp.mean(jnp.exp(state.log_temperature) * log_prob - q)
        return loss, {"actor_loss": loss, "entropy": -log_prob.mean()}

    def temperature_loss(self, log_temperature: Array, entropy: Array) -> Array:
        """J_alpha, eq. 18, on the log of the temperature: it rises while the entropy is below its target."""
        return log_temperature * (entropy - self.config.target_entropy_per_dimension * self.action_size)

    def update(
        self, state: SACState, batch: Transition, key: Array, conversion: Array | float = 1.0
    ) -> tuple[SACState, Metrics]:
        """One gradient step of critics, targets, actor and temperature, in this order."""
        key_critic, key_actor = jax.random.split(key)
        batch = augment(batch, jax.random.fold_in(key, 2), self.config.image.random_shift)

        learned = (state.encoder, state.critics)
        gradient, (metrics, x) = jax.grad(self.critic_loss, has_aux=True)(learned, state, batch, key_critic, conversion)
        metrics |= {"critic_gradient_norm": optax.tree.norm(gradient), "temperature": jnp.exp(state.log_temperature)}
        (encoder, critics), critic_optimizer = step(self.optimizer, gradient, state.critic_optimizer, learned)
        targets = optax.incremental_update(critics, state.target_critics, self.config.target_rate)
        state = state._replace(
            encoder=encoder, critics=critics, critic_optimizer=critic_optimizer, target_critics=targets
        )

        # The actor climbs the critics as they are after this step. Its features are those from before it: encoding the
        # images once more would cost a fifth of the update.
        gradient, actor_metrics = jax.grad(self.actor_loss, has_aux=True)(state.actor, state, x, key_actor)
        metrics |= {**actor_metrics, "actor_gradient_norm": optax.tree.norm(gradient)}
        actor, actor_optimizer = step(self.optimizer, gradient, state.actor_optimizer, state.actor)

        gradient = jax.grad(self.temperature_loss)(state.log_temperature, metrics["entropy"])
        log_temperature, temperature_optimizer = step(
            self.temperature_optimizer, gradient, state.temperature_optimizer, state.log_temperature
        )
        return state._replace(
            actor=actor,
            actor_optimizer=actor_optimizer,
            log_temperature=log_temperature,
            temperature_optimizer=temperature_optimizer,
        ), metrics

    def combined(self, critics: Params, x: Array, action: Array) -> Array:
        """Head outputs `[B, O]` of the whole ensemble for features `x [B, D]` and actions `[B, A]`."""
        outputs = self.critic.apply(critics, x, action)
        return jax.vmap(lambda members: combine(self.head, members, self.config.critic.combine), in_axes=1)(outputs)

    def features(
        self, encoder: Params, statistics: normalizer.ObservationStatistics, observation: Observation
    ) -> Array:
        """Network inputs `[B, D]`: encoded images, then normalised measurements."""
        if self.config.normalize_observations:
            observation = normalizer.normalize(statistics, observation)
        return self.encoder.apply(encoder, observation)

    def reward_scale(self, state: SACState) -> Array:
        """What rewards are divided by, so that returns and the entropy bonus fit in the support."""
        if not self.config.scale_rewards:
            return jnp.float32(1)
        return return_scaling.scale(state.returns, self.config.critic.v_max, self.entropy_room(state))

    def entropy_room(self, state: SACState) -> Array:
        """Room `[]` that the discounted entropy bonus takes in the support, scaled return units."""
        temperature = jnp.exp(state.log_temperature) * self.config.entropy_in_target
        return return_scaling.entropy_room(temperature, self.action_size, self.config.discount)

    def act(self, policy: SACPolicy, observation: Observation, key: Array, step: Array | int, explore: bool) -> Array:
        """Actions `[B, A]`: sampled with noise that may outlast a step, or the tanh of the mean."""
        outputs = self.actor.apply(policy.actor, self.features(policy.encoder, policy.observations, observation))
        if not explore:
            return greedy_action(outputs)
        noise = lasting_noise(key, step, (len(outputs), self.action_size), self.config.exploration_octaves)
        return squashed_action(outputs, noise)[0]

    def policy(self, state: SACState) -> SACPolicy:
        """The part of the state that acting needs."""
        return SACPolicy(state.encoder, state.actor, state.observations)

    def observe(self, state: SACState, experience: Experience, mask: Array) -> SACState:
        """Running statistics with new experience `[M, ...]` taken in, where `mask [M]`."""
        return state._replace(
            returns=return_scaling.update(state.returns, experience.running_return, mask),
            observations=normalizer.update(state.observations, experience.transition.observation, mask),
        )


def make_sac(config: SACConfig, spec: EnvSpec, head: ValueHead) -> Agent:
    """A SAC agent for this environment and value head."""
    if config.angles_by_sine_and_cosine and has_angles(spec):
        return with_angles_read(lambda turned: make_sac(config, turned, head), spec)
    sac = SAC(
        config=config,
        action_size=spec.action.shape[0],
        spec=spec,
        head=head,
        encoder=make_encoder(config.image, spec),
        actor=make_actor(config.actor_network, spec, config.image),
        critic=ensemble(
            make_critic(config.critic_network, spec, head.num_outputs, config.image), config.critic.ensemble
        ),
        optimizer=make_optimizer(config),
        temperature_optimizer=optax.adam(config.temperature_learning_rate),
    )
    agent = Agent(init=sac.init, act=sac.act, update=sac.update, policy=sac.policy, observe=sac.observe)
    if config.values_follow_scale:
        agent = with_following_values(agent, sac.update, sac.reward_scale, config.target_rate)
    return with_policy_average(agent, config.policy_average_rate) if config.policy_average_rate else agent
