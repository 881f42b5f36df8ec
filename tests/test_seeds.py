import hypothesis
import pytest
from hypothesis import strategies as st

from robo_rl import seeds

ROOTS = st.integers(0, 2**31 - 1)
COUNTS = st.integers(0, 10_000)


@hypothesis.given(ROOTS, st.lists(st.integers(0, 2**40) | st.text(max_size=5), max_size=4))
def test_a_child_is_a_function_of_root_and_path(root, path):
    seed = seeds.child(root, *path)
    assert seed == seeds.child(root, *path)
    assert 0 <= seed < 2**31


def test_branches_differ():
    paths = [("actor", 0, 0), ("actor", 0, 1), ("actor", 1, 0), ("learner",), ("actor",), ("actor", 0), ()]
    found = {seeds.child(root, *path) for root in range(5) for path in paths}
    assert len(found) == 5 * len(paths)


def test_known_values_stay():
    # A checkpoint of an older version must be resumable with the episodes it would have had.
    assert seeds.child(0, "learner") == 1098718516
    assert seeds.training_episode(7, 1, 2, 3) == 1079691157


@hypothesis.given(ROOTS, COUNTS, st.integers(0, 2**31), COUNTS)
def test_training_and_evaluation_never_meet(root, actor, incarnation, episode):
    assert seeds.EVALUATION_SEEDS <= seeds.training_episode(root, actor, incarnation, episode) < 2**31


def test_episodes_of_actors_and_incarnations_differ():
    drawn = [seeds.training_episode(0, a, i, e) for a in range(4) for i in range(4) for e in range(100)]
    assert len(set(drawn)) == len(drawn)


def test_evaluation_seeds_are_consecutive_and_within_their_half():
    assert seeds.evaluation_episodes(5, 3) == [5, 6, 7]
    assert seeds.evaluation_episodes(2**30 - 1, 1) == [2**30 - 1]


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (2**30 - 1, 2), (2**30, 1)])
def test_evaluation_seeds_outside_are_refused(first, count):
    with pytest.raises(ValueError, match="leave"):
        seeds.evaluation_episodes(first, count)
