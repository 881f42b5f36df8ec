"""Members of a population are strangers to each other: what one becomes is decided by its own seed."""

import jax
import numpy as np
import pytest

from robo_rl import seeds as seed_tree
from robo_rl.checkpoints.reader import load_run
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.compare.population import capacity, init_members, trunk_hash, trunk_sum
from robo_rl.compare.provenance import SUM_TOLERANCE
from robo_rl.config import ReplayConfig
from robo_rl.errors import DivergedError
from robo_rl.experiment import build
from robo_rl.replay import ring
from robo_rl.roles.learner import init_state
from robo_rl.runtimes import inline
from tests.compare.parts import population_of, turns
from tests.roles.parts import assert_same_bits, tiny
from tests.toys import compiled_once, toy_family

FIRST_UPDATES, TOLERANCE = 40, 1e-5
"""So many updates on, weights of one member in two populations differ by less (float32, CPU)."""


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


def of(tree, member):
    return jax.tree.map(lambda leaf: leaf[member], tree)


def largest_difference(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return max(float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)), initial=0)) for a, b in pairs)


def test_a_member_does_not_depend_on_who_else_is_there():
    config = tiny(n_step=3)
    four, crew_of_four = population_of(config, [7, 1, 9, 2])
    two, crew_of_two = population_of(config, [1, 2])
    places = [(1, 0), (3, 1)]
    for in_four, in_two in places:
        assert_same_bits(of(four.state, in_four), of(two.state, in_two))
    steps = zip(turns(four, crew_of_four, 5, 16), turns(two, crew_of_two, 5, 16), strict=True)
    for chunks, same in steps:
        for in_four, in_two in places:
            if not four.counts.updates:
                assert_same_bits(chunks[in_four].experience, same[in_two].experience)
            # Actions are close and episodes are the same ones; what is drawn from the replay is the same to the bit.
            assert largest_difference(chunks[in_four].experience, same[in_two].experience) < TOLERANCE
            assert [e.seed for e in chunks[in_four].episodes] == [e.seed for e in same[in_two].episodes]
            assert_same_bits(of(four.state.key, in_four), of(two.state.key, in_two))
            here, there = of(four.state, in_four), of(two.state, in_two)
            drawn = ring.sample(here.replay, here.key, 8), ring.sample(there.replay, there.key, 8)
            assert largest_difference(*drawn) < TOLERANCE
    assert four.counts.updates == two.counts.updates == FIRST_UPDATES
    for in_four, in_two in places:
        assert largest_difference(of(four.policy(), in_four), of(two.policy(), in_two)) < TOLERANCE
    assert largest_difference(of(four.policy().actor, 0), of(four.policy().actor, 1)) > 1e-2, "seeds do differ"


def test_a_member_is_what_the_inline_runtime_trains_from_its_seed(tmp_path):
    lasting = tiny(n_step=3).agent.model_copy(update={"warmup_octaves": 4})
    config = tiny(seed=5, agent=lasting, replay=tiny().replay.model_copy(update={"recency": 2.0}))
    run = RunFolder(tmp_path)
    inline.train(config, run, lambda kind, what: None)
    experiment = build(config)
    template = {"learner": experiment.initial_state(), "actor": experiment.actor().state()}
    want = load_run(run.checkpoints, 240, template)
    population, crew = population_of(config, [3, 5])
    list(turns(population, crew, config.actor.chunk_steps, 16))
    assert population.counts.env_steps == 240
    assert_same_bits(of(population.state.key, 1), want["learner"].key)
    assert int(population.state.replay.size[1]) == int(want["learner"].replay.size)
    assert largest_difference(of(population.policy(), 1), experiment.agent.policy(want["learner"].agent)) < TOLERANCE
    state = crew.actors[1].state()
    assert state["seeds"].tolist() == want["actor"]["seeds"].tolist()
    assert state["age"].tolist() == want["actor"]["age"].tolist()
    assert largest_difference(state["actions"], want["actor"]["actions"]) < TOLERANCE


def test_first_weights_are_those_of_the_seed_and_the_same_for_every_loss():
    hashes, sums = {}, {}
    for loss in ("hl_gauss", "mse", "quantile"):
        config = tiny()
        critic = config.agent.critic.model_copy(update={"loss": loss})
        experiment = build(config.model_copy(update={"agent": config.agent.model_copy(update={"critic": critic})}))
        state = init_members(experiment.agent, experiment.spec, 64, [1, 2])
        hashes[loss] = [trunk_hash(state.agent, 0), trunk_hash(state.agent, 1)]
        sums[loss] = [trunk_sum(state.agent, 0), trunk_sum(state.agent, 1)]
        alone = init_state(experiment.agent, experiment.spec, 64, seed_tree.child(2, "learner"))
        assert_same_bits(of(state, 1), alone)
    assert hashes["hl_gauss"] == hashes["mse"] == hashes["quantile"]
    assert len(set(hashes["mse"])) == 2
    assert sums["hl_gauss"] == sums["mse"] == sums["quantile"]
    assert abs(sums["mse"][0] - sums["mse"][1]) > 10 * SUM_TOLERANCE


def test_both_programs_are_compiled_once():
    population, crew = population_of(tiny(n_step=3), [1, 2])
    list(turns(population, crew, 5, 12))
    # A shorter chunk, as comes before an evaluation, runs the same program
    list(turns(population, crew, 2, 3))
    assert population.counts.updates > 8
    assert population.updates._cache_size() == 1
    assert population.take_in._cache_size() == 1


def test_the_state_is_donated_and_not_copied():
    population, crew = population_of(tiny(), [1, 2])
    [_] = turns(population, crew, 5, 1)
    before = population.state.replay.storage.reward
    list(turns(population, crew, 5, 4))
    assert before.is_deleted()


def test_a_member_that_diverges_is_named():
    population, crew = population_of(tiny(), [4, 8])
    list(turns(population, crew, 5, 4))
    actor = jax.tree.map(lambda leaf: leaf.at[1].set(np.nan), population.state.agent.actor)
    population.state = population.state._replace(agent=population.state.agent._replace(actor=actor))
    with pytest.raises(DivergedError, match=r"actor.* of seed 8 is not finite"):
        population.require_finite_state()
    with pytest.raises(DivergedError, match="seed 8 acts with numbers"):
        crew.collect(population.policy(), 1)


def test_metrics_are_each_members_own():
    population, crew = population_of(tiny(), [1, 2])
    assert population.metrics() == [{}, {}]
    list(turns(population, crew, 5, 6))
    first, second = population.metrics()
    assert first.keys() == second.keys() >= {"critic_loss", "clipped_fraction", "temperature", "entropy", "q_mean"}
    assert first["critic_loss"] != second["critic_loss"]


def test_a_replay_has_room_for_the_budget_and_no_more():
    config = tiny(replay=ReplayConfig(capacity=10_000))
    assert 240 <= capacity(config) <= 260
    assert capacity(config.model_copy(update={"replay": ReplayConfig(capacity=100)})) == 100
