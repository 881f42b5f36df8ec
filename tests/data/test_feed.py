import json

import numpy as np
import pytest

from robo_rl.config import DataConfig
from robo_rl.data.feed import Feed
from robo_rl.errors import DataError
from tests.data.parts import toy_episodes, write
from tests.toys import SPEC

EPISODES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), toy_episodes(EPISODES))


def feed(folder, buffer=10_000, episodes=2, seed=0):
    config = DataConfig(path=str(folder), buffer=buffer, stream_episodes=episodes)
    return Feed(config, SPEC, n_step=2, discount=0.9, seed=seed)


def transitions(block):
    """The real part of a block, one number for each transition that tells it from all others."""
    position = block.experience.transition.observation["position"][: block.count].astype(np.float64)
    return (position @ [1, 1000]).tolist()


def test_what_fits_is_handed_over_once_and_in_order(folder):
    source, blocks = feed(folder), []
    while not source.is_exhausted:
        blocks.append(source.next())
    assert source.fits
    assert sum(block.count for block in blocks) == source.summary.steps == source.capacity
    assert all(block.is_new for block in blocks)
    assert len({len(block.experience.running_return) for block in blocks}) == 1, "one size, one compiled program"
    seen = [value for block in blocks for value in transitions(block)]
    starts = [episode.observation["position"][0].astype(np.float64) @ [1, 1000] for episode in toy_episodes(EPISODES)]
    assert [value for value in seen if value in starts] == starts
    with pytest.raises(StopIteration):
        source.next()


def test_a_stream_passes_over_everything_again_and_again_in_new_orders(folder):
    source = feed(folder, buffer=30, episodes=1)
    assert not source.fits
    assert source.capacity == 30
    passes = [[source.next() for _ in range(EPISODES)] for _ in range(3)]
    contents = [[tuple(transitions(block)) for block in one] for one in passes]
    assert sorted(contents[0]) == sorted(contents[1]) == sorted(contents[2])
    assert contents[0] != contents[1]
    assert [block.is_new for block in passes[0]] == [True] * EPISODES
    assert not any(block.is_new for block in passes[1])
    assert not source.is_exhausted


def test_the_first_pass_ends_with_a_block_of_its_own(folder):
    source, steps = feed(folder, buffer=30, episodes=2), 0
    while (block := source.next()).is_new:
        steps += block.count
    assert steps == source.summary.steps


def test_a_restored_stream_goes_on_with_the_same_blocks(folder):
    source = feed(folder, buffer=30)
    for _ in range(7):
        source.next()
    state = json.loads(json.dumps(source.state()))
    expected = [transitions(source.next()) for _ in range(6)]
    again = feed(folder, buffer=30)
    again.restore(state)
    assert [transitions(again.next()) for _ in range(6)] == expected
    other = feed(folder, buffer=30, seed=1)
    other.restore(state)
    assert [transitions(other.next()) for _ in range(6)] != expected


def test_bad_data_is_refused_when_it_is_opened(tmp_path):
    episodes = toy_episodes(3)
    episodes[2].reward[1] = np.inf
    with pytest.raises(DataError, match="reward of episode 2"):
        feed(write(tmp_path, episodes))


def test_reading_says_how_far_it_is(folder):
    heard = []
    config = DataConfig(path=str(folder))
    Feed(config, SPEC, n_step=1, discount=0.9, seed=0, progress=lambda read, episodes: heard.append((read, episodes)))
    assert heard == [(number + 1, EPISODES) for number in range(EPISODES)]
