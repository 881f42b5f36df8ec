import numpy as np

from robo_rl.data.play import play
from robo_rl.data.recorder import EpisodeRecorder
from tests.toys import ReachBatch


def watched(recorder, numbers, steps, told=None):
    """Play uniform episodes of these seeds side by side, one of each, and show them to the recorder."""
    env = ReachBatch(len(numbers))
    fresh = env.reset(range(len(numbers)), numbers)
    told = range(len(numbers)) if told is None else told
    recorder.start(told, [numbers[i] for i in told], {name: value[list(told)] for name, value in fresh.items()})
    rng = np.random.default_rng(0)
    for _ in range(steps):
        action = rng.uniform(-1, 1, (len(numbers), 2)).astype(np.float32)
        step = env.step(action)
        recorder.step(action, step, "p")
        ended = np.flatnonzero(step.last).tolist()
        env.reset(ended, [numbers[i] for i in ended])


def test_each_episode_is_handed_over_when_it_ends():
    episodes = []
    watched(EpisodeRecorder(3, True, episodes.append), [3, 4, 5], 12)
    assert [episode.seed for episode in episodes] == [5, 4, 3], "the shortest first"
    assert [episode.length for episode in episodes] == [10, 11, 12]
    assert [episode.terminated for episode in episodes] == [False, False, True]
    for episode in episodes:
        [again] = play(ReachBatch(1), replay(episode), 0.0, [episode.seed], "p")
        np.testing.assert_array_equal(again.reward, episode.reward)
        assert (again.success, again.terminated) == (episode.success, episode.terminated)
        for name, values in episode.observation.items():
            np.testing.assert_array_equal(again.observation[name], values)


def replay(episode):
    actions = iter(episode.action)
    return lambda observation: next(actions)[None]


def test_an_episode_whose_beginning_was_not_shown_is_passed_over():
    episodes = []
    watched(EpisodeRecorder(3, True, episodes.append), [3, 4, 5], 12, told=[1])
    assert [episode.seed for episode in episodes] == [4]


def test_success_is_left_out_where_the_task_does_not_know_it():
    episodes = []
    watched(EpisodeRecorder(1, False, episodes.append), [4], 12)
    assert episodes[0].success is None
