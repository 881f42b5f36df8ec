import numpy as np
import pytest

from robo_rl.agents.sac import make_sac
from robo_rl.critics import make_head
from robo_rl.roles.evaluator import Film, evaluation, follow, greedy, policy_template, run_episodes, success_by_kind
from robo_rl.roles.exchange import Episode
from tests.roles.parts import tiny
from tests.toys import SPEC, STEPS, Reach, ReachBatch


def towards_middle(policy, observation):
    """A policy by hand; `policy` is its gain."""
    return np.clip(-policy * observation["position"], -1, 1)


@pytest.mark.parametrize("envs", [1, 3, 4, 7, 20])
def test_each_seed_is_one_episode_whatever_the_batch(envs):
    # A batch that caps the number of start states was a published bug (traps E3).
    seeds = [5, 3, 11, 4, 12, 9, 8]
    episodes = run_episodes(ReachBatch(envs), towards_middle, 4.0, seeds)
    assert [episode.seed for episode in episodes] == seeds
    assert episodes == run_episodes(ReachBatch(2), towards_middle, 4.0, seeds)
    for episode in episodes:
        environment = Reach()
        environment.seed_episode(episode.seed)
        assert episode.length == environment.length() <= STEPS
        assert episode.kind == environment.kind()
        total, step = 0.0, environment.reset()
        while not step.last():
            step = environment.step(towards_middle(4.0, step.observation))
            total += step.reward
        assert episode.episode_return == pytest.approx(total, rel=1e-6)
        assert episode.success == environment.success()
    assert len({episode.episode_return for episode in episodes}) == len(seeds)


def test_a_seed_given_twice_is_two_equal_episodes():
    first, second = run_episodes(ReachBatch(3), towards_middle, 1.0, [4, 4])
    assert first == second


def test_the_agent_acts_greedily_and_the_same_each_time():
    config = tiny().agent
    agent = make_sac(config, SPEC, make_head(config.critic))
    act, policy = greedy(agent), policy_template(agent)
    once = run_episodes(ReachBatch(3), act, policy, [1, 2, 3, 4])
    assert once == run_episodes(ReachBatch(3), act, policy, [1, 2, 3, 4])


def test_the_film_shows_the_first_episode_from_its_start_to_its_end():
    film = Film(ReachBatch(1), height=2, width=2)
    env = film._env
    [first, _] = run_episodes(env, towards_middle, 1.0, [5, 6], film)
    shown = [int(frame[0, 0, 0]) for frame in film.frames[: first.length + 1]]
    assert shown == list(range(first.length + 1))


EPISODES = [
    Episode(0, "box", 1.0, 5, True), Episode(1, "box", 3.0, 5, False), Episode(2, "ball", 5.0, 4, True),
    Episode(3, "ball", 7.0, 5, True),
]  # fmt: skip


def test_the_record_of_an_evaluation():
    record = evaluation(ReachBatch(1), 4000, EPISODES)
    assert record["env"] == "toy/reach"
    assert record["checkpoint"] == 4000
    assert record["return"]["mean"] == 4.0
    assert 1.0 <= record["return"]["low"] < 4.0 < record["return"]["high"] <= 7.0
    # Wilson's interval of 3 in 4, by hand: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert record["success"]["rate"] == 0.75
    assert record["success"]["low"] == pytest.approx(0.30064, abs=1e-4)
    assert record["success"]["high"] == pytest.approx(0.95441, abs=1e-4)
    assert record["success_by_kind"] == {"ball": [2, 2], "box": [1, 2]}
    assert record["episodes"][1] == {"seed": 1, "kind": "box", "return": 3.0, "length": 5, "success": False}


def test_success_is_left_out_where_a_task_has_none():
    env = ReachBatch(1)
    env.spec = SPEC.__class__(**{**SPEC.__dict__, "has_success": False})
    record = evaluation(env, 0, EPISODES)
    assert record["success"] is None
    assert record["success_by_kind"] == {}


def test_success_by_kind_needs_several_kinds():
    assert success_by_kind(EPISODES[:2]) == {}


class Run:
    """What `follow` looks at: steps appear on disk, and after so many evaluations `final` is known to be the last."""

    def __init__(self, appear, final, final_after=0, have=None):
        self.appear, self.final, self.final_after = list(appear), final, final_after
        self.committed, self.have, self.judged = [], dict(have or {}), []

    def follow(self):
        follow(self.look, lambda: self.have, self.judge, self.final_step, episodes=2, final_episodes=5, poll_seconds=0)

    def look(self):
        if self.appear:
            self.committed += self.appear.pop(0)
        return self.committed

    def judge(self, step, episodes):
        self.judged.append((step, episodes))
        self.have[step] = episodes

    def final_step(self):
        return self.final if len(self.judged) >= self.final_after else None


def test_the_newest_is_judged_first_and_none_is_left_out():
    run = Run([[10, 20], [], [30]], final=30, final_after=3)
    run.follow()
    assert run.judged == [(20, 2), (10, 2), (30, 2), (30, 5)]


def test_the_last_one_gets_more_episodes_once_it_is_known_to_be_the_last():
    run = Run([[10, 20]], final=20)
    run.follow()
    assert run.judged == [(20, 5), (10, 2)]


def test_a_restarted_evaluator_judges_what_has_no_record_or_too_few_episodes():
    run = Run([[10, 20, 30]], final=30, have={10: 2, 20: 1, 30: 2})
    run.follow()
    assert run.judged == [(30, 5), (20, 2)]


def test_there_may_be_nothing_to_judge():
    run = Run([[10]], final=10, have={10: 5})
    run.follow()
    assert run.judged == []
