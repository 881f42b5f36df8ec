import numpy as np

from robo_rl.data.episode import from_rows, to_rows
from tests.data.parts import toy_episodes


def test_a_row_holds_the_observation_before_its_action_and_the_reward_for_it():
    episode = toy_episodes(1)[0]
    steps = to_rows(episode)["steps"]
    clock = steps["observation"]["clock"][:, 0]
    assert clock[0] == 0
    assert len(clock) == episode.length + 1
    position = steps["observation"]["position"]
    moved = np.clip(position[:-1] + np.float32(0.25) * steps["action"][:-1], -1, 1)
    np.testing.assert_array_equal(position[1:], moved)
    np.testing.assert_allclose(steps["reward"][:-1], 1 - np.linalg.norm(moved, axis=1) / 2**0.5, rtol=1e-6)
    assert [*steps["action"][-1], steps["reward"][-1]] == [0, 0, 0]


def test_only_termination_has_discount_0():
    episodes = toy_episodes(6)
    assert {episode.terminated for episode in episodes} == {True, False}
    for episode in episodes:
        steps = to_rows(episode)["steps"]
        assert episode.terminated == (episode.seed % 3 == 0)
        assert steps["is_terminal"].tolist() == [False] * episode.length + [episode.terminated]
        assert steps["is_last"].tolist() == [False] * episode.length + [True]
        assert steps["is_first"].tolist() == [True] + [False] * episode.length
        expected = [1.0] * (episode.length - 1) + [0.0 if episode.terminated else 1.0] * 2
        assert steps["discount"].tolist() == expected


def test_rows_and_back():
    for episode in toy_episodes(4):
        rows = to_rows(episode)
        again = from_rows(rows["steps"], rows["episode_metadata"])
        assert again[3:] == episode[3:]
        np.testing.assert_array_equal(again.action, episode.action)
        np.testing.assert_array_equal(again.reward, episode.reward)


def test_a_data_set_of_others_may_say_less_of_an_episode():
    rows = to_rows(toy_episodes(1)[0])
    again = from_rows(rows["steps"], {})
    assert (again.seed, again.policy, again.success) == (-1, "", None)
