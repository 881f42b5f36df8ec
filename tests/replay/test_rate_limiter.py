import hypothesis
import pytest
from hypothesis import strategies as st

from robo_rl.replay.rate_limiter import RateLimiter

LIMITERS = st.builds(
    RateLimiter,
    updates_per_env_step=st.floats(1e-3, 50),
    warmup_env_steps=st.integers(1, 10_000),
    updates_per_dispatch=st.integers(1, 500),
    max_lead_env_steps=st.none() | st.integers(1, 10_000),
)
COUNTS = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))


def run(limiter, env_steps, updates, turns, chunk, order):
    """Counts after each turn in which one side that may go on does; `order` says who is asked first."""
    history = []
    for turn in range(turns):
        act_first = order[turn % len(order)]
        if limiter.may_act(env_steps, updates) and (act_first or not limiter.may_update(env_steps, updates)):
            env_steps += chunk
        elif limiter.may_update(env_steps, updates):
            updates += limiter.updates_per_dispatch
        history.append((env_steps, updates))
    return history


@hypothesis.given(LIMITERS, COUNTS)
def test_both_sides_are_never_blocked_whatever_the_counts(limiter, counts):
    # Any counts, and so also those restored from a run with another ratio (reverb #103)
    assert limiter.may_act(*counts) or limiter.may_update(*counts)


@hypothesis.given(LIMITERS, st.integers(1, 300), st.lists(st.booleans(), min_size=1, max_size=10))
def test_the_ratio_is_held_within_the_slack(limiter, chunk, order):
    for env_steps, updates in run(limiter, 0, 0, 200, chunk, order):
        owed = limiter.owed(env_steps, updates)
        after_warmup = (env_steps - limiter.warmup_env_steps) * limiter.updates_per_env_step
        assert owed == pytest.approx(after_warmup - updates)
        # Updates are never made in advance ...
        assert updates == 0 or owed >= -1e-6
        # ... and the actors stop at most one chunk after their bound.
        if limiter.max_lead_env_steps is not None:
            lead = max(limiter.max_lead_env_steps * limiter.updates_per_env_step, limiter.updates_per_dispatch)
            assert owed < lead + chunk * limiter.updates_per_env_step + 1e-6


@hypothesis.given(LIMITERS, st.floats(1e-2, 50), st.integers(1, 300), st.lists(st.booleans(), min_size=1, max_size=5))
@hypothesis.settings(max_examples=50)
def test_a_run_restored_with_another_ratio_goes_on_with_both_sides(limiter, ratio, chunk, order):
    limiter = limiter._replace(updates_per_dispatch=min(limiter.updates_per_dispatch, 50), warmup_env_steps=10)
    env_steps, updates = run(limiter, 0, 0, 100, chunk, order)[-1]
    restored = limiter._replace(updates_per_env_step=ratio, max_lead_env_steps=64)
    # One turn moves one side; the side that is behind catches up first, however far that is.
    distance = abs(restored.owed(env_steps, updates)) / min(chunk * ratio, restored.updates_per_dispatch)
    needed = int(distance) + 2 * int(restored.updates_per_dispatch / (chunk * ratio) + chunk * ratio) + 10
    hypothesis.assume(needed < 50_000)
    # `order` might name the actors first for ever; the other side must come to its turn all the same.
    later_steps, later_updates = run(restored, env_steps, updates, needed, chunk, order)[-1]
    assert later_steps > env_steps
    assert later_updates > updates


@hypothesis.given(LIMITERS, st.integers(1, 300), st.lists(st.booleans(), min_size=1, max_size=10))
def test_a_resumed_run_makes_no_burst(limiter, chunk, order):
    # The counts are all that the limiter knows: the run goes on in the very turns it would have had.
    whole = run(limiter, 0, 0, 120, chunk, order)
    half = 60 - 60 % len(order)
    again = run(limiter, *whole[half - 1], 120 - half, chunk, order)
    assert again == whole[half:]


def test_no_update_during_the_warm_up():
    limiter = RateLimiter(1.0, 1000, 32, 256)
    assert not limiter.may_update(1031, 0)
    assert limiter.may_update(1032, 0)
    assert limiter.may_act(1255, 0)
    assert not limiter.may_act(1256, 0)


def test_a_lead_shorter_than_a_dispatch_does_not_block():
    limiter = RateLimiter(0.5, 1, 100, 1)
    assert limiter.may_act(200, 0)
    assert limiter.may_update(201, 0)


def test_without_a_bound_the_actors_never_wait():
    limiter = RateLimiter(1.0, 1, 32, None)
    assert limiter.may_act(10**9, 0)
    assert limiter.may_update(10**9, 0)
