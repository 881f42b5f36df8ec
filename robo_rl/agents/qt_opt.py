"""QT-Opt (Kalashnikov et al. 2018, arXiv 1806.10293) with any value head: a Q-function, searched for its best action.

There is no actor: the cross-entropy method maximises the Q-function, for acting and for targets alike. Targets are
clipped double Q over two lagged copies of it. Where the paper has a sigmoid output and the cross-entropy of a return
in [0, 1], a value head covers the range that the environment's rewards allow, and returns are not scaled.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from robo_rl.agents.agent import Agent, Metrics
from robo_rl.agents.cem import maximise
from robo_rl.agents.optimizer import make_optimizer, step
from robo_rl.config import QTOptConfig, SearchConfig
from robo_rl.critics.head import Target, ValueHead, combine
from robo_rl.critics.value_range import outputs_of_zero, return_bounds
from robo_rl.networks import normalizer
from robo_rl.networks.convolutional_q import make_convolutional_q_network
from robo_rl.networks.network import Params
from robo_rl.networks.q_network import QNetwork, make_q_network, value_of
from robo_rl.networks.random_shift import augment
from robo_rl.specs import Array, EnvSpec, Experience, Observation, Transition

DOUBTED = 4
"""Random actions per state whose value is held down, where `conservatism` asks for it."""


class QTOptState(NamedTuple):
    """All that learning changes.

    critic:   theta, which gradients move
    averaged: theta_bar_1, its exponential average; it acts, and chooses the actions of targets
    snapshot: `averaged` as it was at the last multiple of `target_lag` updates
    lagged:   theta_bar_2, the snapshot before that one
    updates:  int32 `[]`, gradient steps made
    """

    critic: Params
    averaged: Params
    snapshot: Params
    lagged: Params
    optimizer: optax.OptState
    observations: normalizer.ObservationStatistics
    updates: Array


class QTOptPolicy(NamedTuple):
    """All that acting needs."""

    averaged: Params
    observations: normalizer.ObservationStatistics


@dataclasses.dataclass(frozen=True)
class QTOpt:
    """The equations, over the network and the value head they need; it holds no state."""

    config: QTOptConfig
    spec: EnvSpec
    head: ValueHead
    network: QNetwork
    optimizer: optax.GradientTransformation
    least_return: float = 0.0

    def init(self, key: Array) -> QTOptState:
        """A fresh state, whose critic says that every return is 0; both targets start as copies of it."""
        critic = self.network.init(key, outputs_of_zero(self.head))

        def copy() -> Params:
            return jax.tree.map(jnp.copy, critic)

        return QTOptState(
            critic=critic,
            averaged=copy(),
            snapshot=copy(),
            lagged=copy(),
            optimizer=self.optimizer.init(critic),
            observations=normalizer.init(self.spec),
            updates=jnp.int32(0),
        )

    def targets(self, state: QTOptState, batch: Transition, key: Array) -> Target:
        """Bellman targets `[B]` with V(s') = min_i Q_i(s', argmax_a' Q_1(s', a')), section 4.2 of the paper.

        For a head that predicts a distribution, the minimum is the one whose mean is smaller.
        """
        x = self.normalized(state.observations, batch.next_observation)
        averaged, lagged = self.network.encode(state.averaged, x), self.network.encode(state.lagged, x)
        action = self.best_action(state.averaged, averaged, key, self.config.target_search)
        both = jnp.stack(
            [
                value_of(self.network, state.averaged, averaged, action),
                value_of(self.network, state.lagged, lagged, action),
            ],
            axis=1,
        )
        smaller = jax.vmap(lambda outputs: combine(self.head, outputs, "min"))(both)
        # No entropy bonus: the policy is the maximum.
        return jax.vmap(self.head.target, in_axes=(0, 0, 0, None))(
            batch.reward, batch.discount, smaller, jnp.float32(0)
        )

    def critic_loss(
        self, critic: Params, state: QTOptState, batch: Transition, target: Target, key: Array
    ) -> tuple[Array, Metrics]:
        """The head's loss between Q(s, a) and the targets `[B]`, and what the critic says on the batch."""
        features = self.network.encode(critic, self.normalized(state.observations, batch.observation))
        outputs = value_of(self.network, critic, features, batch.action)
        loss = jax.vmap(self.head.loss)(outputs, target).mean()
        q = jax.vmap(self.head.value)(outputs)
        metrics = {"critic_loss": loss, "clipped_fraction": target.clipped.mean()}
        if self.config.conservatism:
            loss += self.config.conservatism * self.doubt(critic, features, key)
        return loss, {**metrics, "q_mean": q.mean(), "q_min": q.min(), "q_max": q.max()}

    def doubt(self, critic: Params, features: Array, key: Array) -> Array:
        """The loss `[]` of claiming more than the least return for actions drawn at random.

        Data hold few of the actions that a search tries, and nothing else contradicts what the critic makes up for the
        others. Q-Transformer's regulariser (Chebotar et al. 2023, arXiv 2309.10150, section 4.2) for actions in a box
        instead of bins: a random one is next to none of the data, and what lies between is left to the network.
        """
        actions = jax.random.uniform(key, (len(features), DOUBTED, self.spec.action.shape[0]), minval=-1.0, maxval=1.0)
        outputs = self.network.value(critic, features, actions)
        nothing = jnp.zeros(self.head.num_outputs)
        # With a discount of 0, the target is the reward, whatever form targets have with this head.
        least = self.head.target(jnp.float32(self.least_return), jnp.float32(0), nothing, jnp.float32(0))
        return jax.vmap(jax.vmap(lambda each: self.head.loss(each, least)))(outputs).mean()

    def update(self, state: QTOptState, batch: Transition, key: Array) -> tuple[QTOptState, Metrics]:
        """One gradient step, on targets that the two target networks give now; then these follow."""
        key_search, key_shift, key_doubt = jax.random.split(key, 3)
        batch = augment(batch, key_shift, self.config.image.random_shift)
        # Without the barrier, XLA's CPU compiler merges search and gradient into a program that takes twice as long.
        target = jax.lax.optimization_barrier(self.targets(state, batch, key_search))
        gradient, metrics = jax.grad(self.critic_loss, has_aux=True)(state.critic, state, batch, target, key_doubt)
        metrics["critic_gradient_norm"] = optax.tree.norm(gradient)
        critic, optimizer = step(self.optimizer, gradient, state.optimizer, state.critic)
        state = state._replace(critic=critic, optimizer=optimizer, updates=state.updates + 1)
        return self.followed(state), metrics

    def followed(self, state: QTOptState) -> QTOptState:
        """The targets after an update: `averaged` follows the critic, and `lagged` follows it by snapshots.

        Two snapshots instead of a queue of `target_lag` networks: the lag runs from K to 2 K - 1 updates and starts
        again. Until 2 K updates were made, `lagged` is the first critic, which promises nothing.
        """
        averaged = optax.incremental_update(state.critic, state.averaged, self.config.target_rate)
        due = state.updates % self.config.target_lag == 0

        def if_due(new: Params, old: Params) -> Params:
            return jax.tree.map(lambda a, b: jnp.where(due, a, b), new, old)

        return state._replace(
            averaged=averaged,
            snapshot=if_due(averaged, state.snapshot),
            lagged=if_due(state.snapshot, state.lagged),
        )

    def best_action(self, params: Params, features: Array, key: Array, search: SearchConfig) -> Array:
        """The best action found `[B, A]` under these parameters, for the features of B states."""
        value = jax.vmap(jax.vmap(self.head.value))
        return maximise(
            lambda actions: value(self.network.value(params, features, actions)),
            key,
            features.shape[0],  # not len(): an export leaves the batch size open
            self.spec.action.shape[0],
            search,
        )[0]

    def act(self, policy: QTOptPolicy, observation: Observation, key: Array, step: Array | int, explore: bool) -> Array:
        """Actions `[B, A]`: the best found, with noise where exploring, or now and then (epsilon) uniform ones."""
        features = self.network.encode(policy.averaged, self.normalized(policy.observations, observation))
        if not explore:
            # A search needs random numbers; for the greedy policy they are always the same ones.
            return self.best_action(policy.averaged, features, jax.random.key(0), self.config.acting_search)
        key_search, key_noise, key_uniform, key_choice = jax.random.split(jax.random.fold_in(key, step), 4)
        action = self.best_action(policy.averaged, features, key_search, self.config.acting_search)
        noisy = action + self.config.action_noise * jax.random.normal(key_noise, action.shape)
        uniform = jax.random.uniform(key_uniform, action.shape, minval=-1.0, maxval=1.0)
        random = jax.random.uniform(key_choice, (action.shape[0], 1)) < self.config.epsilon
        return jnp.where(random, uniform, jnp.clip(noisy, -1.0, 1.0))

    def normalized(self, statistics: normalizer.ObservationStatistics, observation: Observation) -> Observation:
        """What the network takes of an observation `[B, ...]`."""
        return normalizer.normalize(statistics, observation) if self.config.normalize_observations else observation

    def policy(self, state: QTOptState) -> QTOptPolicy:
        """The part of the state that acting needs."""
        return QTOptPolicy(state.averaged, state.observations)

    def observe(self, state: QTOptState, experience: Experience, mask: Array) -> QTOptState:
        """Running statistics with new experience `[M, ...]` taken in, where `mask [M]`."""
        observation = experience.transition.observation
        return state._replace(observations=normalizer.update(state.observations, observation, mask))


def make_qt_opt(config: QTOptConfig, spec: EnvSpec, head: ValueHead) -> Agent:
    """A QT-Opt agent for this environment; `head` covers the returns of it, in environment units.

    Raises:
        ConfigError: nobody knows the range of returns, neither the config nor the environment.
    """
    sees = any(normalizer.is_image(array) for array in spec.observation.values())
    qt_opt = QTOpt(
        config=config,
        spec=spec,
        head=head,
        network=make_convolutional_q_network(config.critic_network, config.image, spec, head.num_outputs)
        if sees
        else make_q_network(config.critic_network, spec, head.num_outputs),
        optimizer=make_optimizer(config),
        least_return=(config.value_range or return_bounds(spec, config.discount))[0],
    )
    return Agent(qt_opt.init, qt_opt.act, qt_opt.update, qt_opt.policy, qt_opt.observe)
