"""What loading an export refuses: another program than its spec, another environment, an observation that cannot be."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from robo_rl.config import Config
from robo_rl.errors import ConfigError, ExportError
from robo_rl.export.archive import to_json, write_archive
from robo_rl.export.loading import expect_fit, fitting_observation, load_export
from robo_rl.specs import ArraySpec, EnvSpec

SPEC = EnvSpec(
    name="toy/reach",
    observation={
        "image": ArraySpec((4, 4, 3), "uint8"),
        "position": ArraySpec((2,), unit="m"),
    },
    action=ArraySpec((2,), minimum=-1.0, maximum=1.0),
    episode_steps=10,
    control_hz=5.0,
)


def act(observation):
    return jnp.tanh(observation["position"] + observation["image"].mean(axis=(1, 2)).astype(jnp.float32)[:, :2])


def members(spec=SPEC):
    """The members of an export of `act`, whose spec says `spec`."""
    (batch,) = jax_export.symbolic_shape("b")
    arguments = {
        name: jax.ShapeDtypeStruct((batch, *array.shape), array.dtype) for name, array in SPEC.observation.items()
    }
    return {
        "policy.stablehlo": bytes(jax_export.export(jax.jit(act))(arguments).serialize()),
        "spec.json": to_json(spec.to_json()),
        "config.json": to_json(Config().model_dump(mode="json")),
        "provenance.json": to_json({"exported_with": {"robo_rl": "0.1.0"}}),
    }


def observation(count=3, **changes):
    given = {"position": np.full((count, 2), 0.5, np.float32), "image": np.zeros((count, 4, 4, 3), np.uint8)}
    return {**given, **changes}


def test_a_fitting_observation_gives_actions(tmp_path):
    write_archive(tmp_path / "policy.zip", members())
    policy = load_export(tmp_path / "policy.zip")
    assert policy.spec == SPEC
    np.testing.assert_allclose(policy.act(observation()), np.tanh(0.5), rtol=1e-6)
    # A robot's float64 is fine; it says the same.
    np.testing.assert_allclose(policy.act(observation(position=np.full((3, 2), 0.5))), np.tanh(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"position": np.zeros((3, 3))}, r"'position' has shape \[3, 3\].*\[B, 2\] \(m\)"),
        ({"position": np.zeros(2)}, "'position' has shape"),
        ({"position": np.zeros((2, 2))}, "the same batch size B; given were .*'position': 2"),
        ({"position": np.array([[np.nan, 0.0]] * 3)}, "'position' holds values that are not finite"),
        ({"image": np.zeros((3, 4, 4, 3), np.float32)}, "'image' is float32; .* takes uint8"),
        ({"velocity": np.zeros((3, 2))}, r"unknown: \['velocity'\]"),
    ],
)
def test_an_observation_that_does_not_fit_is_named(changes, said):
    with pytest.raises(ExportError, match=said):
        fitting_observation(SPEC, observation(**changes))


def test_a_missing_observation_and_an_empty_batch_are_refused():
    with pytest.raises(ExportError, match=r"missing: \['image'\]"):
        fitting_observation(SPEC, {"position": np.zeros((3, 2))})
    with pytest.raises(ExportError, match="B >= 1"):
        fitting_observation(SPEC, observation(0))


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("spec.json", b"{", "cannot be read"),
        ("spec.json", b"{}", "cannot be read"),
        ("policy.stablehlo", b"nothing", "cannot read policy.stablehlo"),
        ("config.json", b'{"sead": 3}', "sead"),
    ],
)
def test_a_member_that_makes_no_sense_is_named(tmp_path, member, content, said):
    write_archive(tmp_path / "policy.zip", {**members(), member: content})
    with pytest.raises((ExportError, ConfigError), match=said):
        load_export(tmp_path / "policy.zip")


def test_a_lacking_part_is_named(tmp_path):
    parts = members()
    del parts["spec.json"]
    write_archive(tmp_path / "policy.zip", parts)
    with pytest.raises(ExportError, match=r"lacks \['spec.json'\]"):
        load_export(tmp_path / "policy.zip")


def test_a_program_that_is_not_what_the_spec_says_is_refused(tmp_path):
    other = dataclasses.replace(SPEC, action=ArraySpec((3,)))
    write_archive(tmp_path / "policy.zip", members(other))
    with pytest.raises(ExportError, match=r"not what spec\.json says"):
        load_export(tmp_path / "policy.zip")


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (dataclasses.replace(SPEC, observation={"position": ArraySpec((2,), unit="m")}), "observation image"),
        (dataclasses.replace(SPEC, control_hz=20.0), "5.0 Hz, here 20.0 Hz"),
        (dataclasses.replace(SPEC, action=ArraySpec((3,))), r"action: made for float32\[2\]"),
        (
            dataclasses.replace(SPEC, observation={**SPEC.observation, "position": ArraySpec((2,), unit="mm")}),
            "observation position: made for .*'m', here .*'mm'",
        ),
    ],
)
def test_another_environment_is_refused_with_what_differs(here, said):
    with pytest.raises(ExportError, match=said):
        expect_fit(SPEC, here, "policy.zip")
    expect_fit(SPEC, EnvSpec.from_json(json.loads(json.dumps(SPEC.to_json()))), "policy.zip")
