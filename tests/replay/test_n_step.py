import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.replay.n_step import NStepAdder, concatenate, pad
from tests.toys import SPEC

GAMMA = 0.9
ENVS = 3


def stream(rng, steps):
    """One simulation: (episode, age, reward, discount, last) per step; the last episode may be unfinished."""
    rows, episode = [], 0
    while len(rows) < steps:
        length, terminates = int(rng.integers(1, 7)), bool(rng.integers(2))
        for age in range(length):
            last = age == length - 1
            rows.append((episode, age, rng.normal(), 0.0 if last and terminates else 1.0, last))
        episode += 1
    return rows[:steps]


def label(env, episode, age):
    return 10_000 * env + 100 * episode + age


def collect(adder, streams):
    """What the adder emits for the streams; observations and actions are labels of (simulation, episode, age)."""
    blocks = []
    for rows in zip(*streams, strict=True):
        here = np.array([[label(env, row[0], row[1])] for env, row in enumerate(rows)], np.float32)
        blocks += adder.add(
            {"label": here},
            here,
            np.array([row[2] for row in rows]),
            np.array([row[3] for row in rows], np.float32),
            np.array([row[4] for row in rows]),
            {"label": here + 1},
        )
    return blocks


def brute_force(streams, n):
    """label -> (reward, discount, next label, running return) of every window that is complete."""
    expected = {}
    for env, rows in enumerate(streams):
        running = 0.0
        for start, (episode, age, *_) in enumerate(rows):
            running = rows[start][2] + (GAMMA * running if age else 0.0)
            window = []
            for row in rows[start : start + n]:
                window.append(row)
                if row[4]:
                    break
            if len(window) < n and not window[-1][4]:
                continue
            reward = sum(GAMMA**k * row[2] for k, row in enumerate(window))
            discount = 0.0 if window[-1][3] == 0 else GAMMA ** len(window)
            reported = running
            last_two = [row[2] for row in rows[start - min(age, 1) : start + 1]]
            kept = min(last_two, key=abs) if min(last_two) * max(last_two) > 0 else 0.0
            if rows[start][4] and rows[start][3] and abs(kept / (1 - GAMMA)) > abs(running):
                reported = kept / (1 - GAMMA)
            here = label(env, episode, age)
            expected[here] = (reward, discount, here + len(window), reported)
    return expected


@hypothesis.given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([1, 2, 3, 5, 20]), steps=st.integers(0, 40))
def test_equals_a_brute_force_model(seed, n, steps):
    rng = np.random.default_rng(seed)
    streams = [stream(rng, steps) for _ in range(ENVS)]
    got = {}
    for transition, running in collect(NStepAdder(ENVS, n, GAMMA), streams):
        for row in range(len(running)):
            here = int(transition.observation["label"][row, 0])
            assert here not in got, "a window was emitted twice"
            assert transition.action[row, 0] == here
            got[here] = (
                transition.reward[row], transition.discount[row], transition.next_observation["label"][row, 0],
                running[row],
            )  # fmt: skip
    expected = brute_force(streams, n)
    assert got.keys() == expected.keys()
    for here in got:
        np.testing.assert_allclose(got[here], expected[here], rtol=1e-4, atol=1e-5)


def one_episode(n, steps, terminates):
    rows = [(0, age, 1.0, 0.0 if age == steps - 1 and terminates else 1.0, age == steps - 1) for age in range(steps)]
    blocks = collect(NStepAdder(1, n, GAMMA), [rows])
    by_start = {int(t.observation["label"][0, 0]): (t, running) for t, running in blocks}
    return [by_start[age][0] for age in range(steps)]


def test_a_time_limit_keeps_the_bootstrap_with_the_true_number_of_steps():
    windows = one_episode(3, 5, terminates=False)
    np.testing.assert_allclose([w.discount[0] for w in windows], [0.9**3, 0.9**3, 0.9**3, 0.9**2, 0.9], rtol=1e-6)
    # All windows that meet the limit look at the observation before the reset.
    assert [w.next_observation["label"][0, 0] for w in windows] == [3, 4, 5, 5, 5]


def test_termination_ends_the_bootstrap():
    windows = one_episode(3, 5, terminates=True)
    np.testing.assert_allclose([w.discount[0] for w in windows], [0.9**3, 0.9**3, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose([w.reward[0] for w in windows], [2.71, 2.71, 2.71, 1.9, 1.0], rtol=1e-6)


def test_arrays_handed_in_may_be_used_again_once_their_window_is_out():
    adder = NStepAdder(1, 1, GAMMA)
    observation = {"label": np.zeros((1, 1), np.float32)}
    one, flag = np.ones(1, np.float32), np.zeros(1, bool)
    [(transition, _)] = adder.add(observation, np.zeros((1, 1)), one, one, flag, observation)
    observation["label"][:] = 7
    assert transition.observation["label"] == 0


def test_blocks_become_one_and_none_an_empty_one():
    blocks = collect(NStepAdder(ENVS, 1, GAMMA), [stream(np.random.default_rng(0), 4) for _ in range(ENVS)])
    whole = concatenate(SPEC, blocks)
    assert whole.running_return.shape == (4 * ENVS,)
    empty = concatenate(SPEC, [])
    assert empty.running_return.shape == empty.transition.reward.shape == (0,)
    assert empty.transition.observation["position"].shape == (0, 2)


def test_padding_is_zeros_behind_and_keeps_types():
    [block] = collect(NStepAdder(ENVS, 1, GAMMA), [[(0, 0, 1.0, 1.0, False)]] * ENVS)
    padded = pad(block, 5)
    np.testing.assert_array_equal(padded.transition.reward, [1, 1, 1, 0, 0])
    assert padded.transition.observation["label"].shape == (5, 1)
    assert padded.running_return.dtype == np.float32
    assert pad(block, ENVS).running_return.shape == (ENVS,)
    with pytest.raises(ValueError, match="3 transitions do not fit in a block of 2"):
        pad(block, 2)
