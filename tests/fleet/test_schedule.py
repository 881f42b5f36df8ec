from hypothesis import given
from hypothesis import strategies as st

from robo_rl.fleet.blocks import Block
from robo_rl.fleet.schedule import Backlog, due_steps


def block(step, index, policy="p"):
    return Block("run", step, policy, "nominal", index)


def drain(backlog):
    taken = []
    while (one := backlog.take()) is not None:
        taken.append(one)
    assert backlog.is_empty()
    return taken


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True))
def test_the_newest_checkpoint_first_then_as_added(pairs):
    backlog = Backlog()
    backlog.add(block(step, index) for step, index in pairs)
    assert drain(backlog) == [block(*pair) for pair in sorted(pairs, key=lambda pair: -pair[0])]


def test_a_newer_checkpoint_overtakes_and_merging_overtakes_all():
    backlog = Backlog()
    backlog.add([block(1, 0), block(1, 1)])
    assert backlog.take() == block(1, 0)
    backlog.add([block(2, 0)])
    backlog.add([block(1, None)])
    assert drain(backlog) == [block(1, None), block(2, 0), block(1, 1)]


def test_a_dropped_checkpoint_keeps_its_merging_only_and_may_come_back_with_other_weights():
    backlog = Backlog()
    backlog.add([block(1, 0), block(1, None)])
    backlog.drop(1)
    assert drain(backlog) == [block(1, None)]
    backlog.add([block(1, 0)])
    backlog.add([block(1, 0, "other")])
    assert drain(backlog) == [block(1, 0, "other")]


@given(st.sets(st.integers(1, 40)), st.integers(1, 5))
def test_thinning_depends_on_the_step_alone(counts, every):
    steps = [count * 1000 for count in counts]
    due = due_steps(steps, 1000, every, False)
    assert due == sorted(step for step in steps if step // 1000 % every == 0)
    assert set(due_steps(steps, 1000, every, True)) == {*due, *sorted(steps)[-1:]}
