import pytest

from robo_rl.compare.wording import answer, caution, signed


def entry(loss, verdict=None, gain=(0.1, 0.05, 0.15), seeds=5, axes=None, reference_axes=None):
    made = {
        "loss": loss, "axes": axes or {}, "seeds": list(range(seeds)),
        "iqm": {"value": 0.7, "low": 0.6, "high": 0.8}, "curve": {},
    }  # fmt: skip
    if verdict:
        reference = {"loss": "mse", "axes": axes if reference_axes is None else reference_axes}
        made["reference"] = {**reference, "axes": reference["axes"] or {}}
        made["iqm_difference"] = {**dict(zip(("value", "low", "high"), gain, strict=True)), "verdict": verdict}
    return made


def summary(*groups, finished=4, failed=0, running=0, left_out=(), failures=(), mixed=()):
    return {
        "groups": list(groups), "env_steps": 100_000, "tasks": ["suite/cheetah-run", "suite/walker-walk"],
        "tasks_left_out": list(left_out), "tasks_without_scale": [], "losses": ["mse"], "failed": list(failures),
        "mixed_versions": list(mixed),
        "cells": {"finished": finished, "failed": failed, "running": running, "not begun": 0},
    }  # fmt: skip


def test_a_win_is_claimed_with_its_interval():
    text = answer(summary(entry("mse"), entry("hl_gauss", "higher")))
    assert text.startswith("After 100,000 environment steps on 2 tasks with 5 seeds each, HL-Gauss (+0.10 [+0.05,")
    assert "scored higher than MSE" in text


@pytest.mark.parametrize("verdict", ["undecided", "too few seeds", "lower"])
def test_no_win_is_claimed_that_the_interval_does_not_support(verdict):
    text = answer(summary(entry("mse"), entry("hl_gauss", verdict, (0.1, -0.01, 0.2))))
    assert "higher" not in text
    expected = {"undecided": "cannot be told apart from MSE", "lower": "scored lower than MSE"}
    assert expected.get(verdict, "cannot be judged against MSE with fewer than 3 seeds") in text


def test_a_single_seed_is_called_so():
    text = answer(summary(entry("mse", seeds=1), entry("hl_gauss", "too few seeds", seeds=1)))
    assert "with 1 seed each" in text


def test_an_unfinished_comparison_says_so_first():
    text = answer(summary(entry("mse"), entry("hl_gauss", "higher"), finished=3, running=1))
    assert text.startswith("So far (3 of 4 cells finished), after 100,000")


def test_along_an_axis_each_loss_is_named_once_with_every_value():
    groups = []
    for width in (64, 256):
        axes = {"agent.critic_network.width": width}
        groups += [entry("mse", axes=axes), entry("hl_gauss", "higher", axes=axes)]
    text = answer(summary(*groups))
    assert text.count("HL-Gauss") == 1
    assert "at width 64 (" in text
    assert "and width 256 (" in text
    assert "higher than MSE at the same setting" in text


def test_a_single_loss_is_compared_with_the_first_value_of_its_axis():
    noise = [{"env.reward_noise": value} for value in (0.0, 0.5)]
    text = answer(summary(entry("mse", axes=noise[0]), entry("mse", "lower", axes=noise[1], reference_axes=noise[0])))
    assert "MSE at reward noise 0.5 (" in text
    assert "scored lower than reward noise 0" in text


def test_many_comparisons_are_counted_and_the_clearest_is_named():
    groups = [entry("mse")]
    for value in range(12):
        verdict = "higher" if value < 2 else "undecided"
        groups.append(entry("c51", verdict, (0.1 + value, 0.05, 12.0), axes={"a.b": value}, reference_axes={"a.b": 0}))
    text = answer(summary(*groups))
    assert "2 higher, 10 not told apart" in text
    assert "the largest difference is that of C51 at b 1, +1.10" in text


def test_one_group_alone_is_described_and_none_is_no_answer():
    assert "nothing to compare it with" in answer(summary(entry("c51")))
    assert "nothing can be said" in answer(summary())


def test_cautions_name_chance_few_seeds_and_what_is_missing():
    groups = [entry("mse"), entry("c51", "higher", seeds=4), entry("hl_gauss", "higher")]
    failures = [{"loss": "c51", "axes": {}, "tasks": ["suite/finger-spin"]}]
    mixed = [{"task": "suite/walker-walk", "what": ["Revision", "jax"]}]
    made = summary(*groups, failed=1, left_out=["suite/finger-spin"], failures=failures, mixed=mixed)
    text = " ".join(caution(made))
    for said in (
        "2 comparisons", "With 4 seeds", "different numbers of seeds", "C51 failed on finger-spin",
        "On walker-walk the cells are not of one version (Revision, jax)",
    ):  # fmt: skip
        assert said in text
    assert caution(summary(entry("mse", seeds=10), entry("c51", "higher", seeds=10))) == []


def test_signs_are_true_minus_signs_and_brackets_do_not_break():
    text = signed({"value": -0.05, "low": -0.1, "high": 0.01})
    assert text == "\N{MINUS SIGN}0.05 [\N{MINUS SIGN}0.10,\N{NO-BREAK SPACE}+0.01]"
    assert signed({"value": -0.001, "low": -0.01, "high": 0.0}).startswith("0.00 [")
    assert signed({"value": 0.02, "low": 0.003, "high": 0.04}) == "+0.020 [+0.003,\N{NO-BREAK SPACE}+0.040]"
