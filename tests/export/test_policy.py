"""A policy export: equal to its checkpoint, the same bytes each time, alone in the world, and refused when damaged."""

import json
import os
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest

from robo_rl import cli, presets
from robo_rl.checkpoints import reader
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.config import Config, EnvConfig, EvaluationConfig
from robo_rl.errors import CheckpointError
from robo_rl.evaluation import evaluate_checkpoint
from robo_rl.experiment import build
from robo_rl.export.loading import load_export
from robo_rl.export.policy import export_checkpoint, export_program
from robo_rl.roles.evaluator import greedy, policy_template

STEP = 400
# Runs a script where importing this package, or anything heavy that it needs, is an error.
ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("robo_rl", "flax", "optax", "orbax", "mujoco"):
            raise ImportError(f"{name} is not to be needed")
sys.meta_path.insert(0, Refuse())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with one checkpoint, whose policy is made up and as large as a real one, and its evaluation."""
    config = Config(env=EnvConfig(name="grasp/cube"), evaluation=EvaluationConfig(envs=4))
    experiment = build(config)
    rng = np.random.default_rng(0)
    policy = jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.05, leaf.shape).astype(np.float32), policy_template(experiment.agent)
    )
    run = RunFolder(tmp_path_factory.mktemp("made") / "run")
    run.begin(config, experiment.spec)
    with CheckpointWriter(run.checkpoints, 1, 0) as writer:
        writer.save(STEP, policy, None, experiment.meta())
    run.write_evaluation(STEP, evaluate_checkpoint(run.path, 3, 0, None))
    return run.path


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "policy.zip"
    assert cli.main(["export", str(run), str(file)]) == 0
    return file


def observations(spec, count, seed=0):
    """Observations `[count, *shape]` well beyond what the task shows."""
    rng = np.random.default_rng(seed)
    return {
        name: (3 * rng.standard_normal((count, *array.shape))).astype(np.float32)
        for name, array in spec.observation.items()
    }


def test_actions_equal_those_of_the_checkpoint(run, exported):
    meta = reader.load_meta(run / "checkpoints", STEP)
    experiment = build(presets.validate(meta["config"], "test"))
    policy = reader.load_policy(run / "checkpoints", STEP, policy_template(experiment.agent))
    observation = observations(experiment.spec, 1000)
    expected = np.asarray(greedy(experiment.agent)(policy, observation))
    actions = np.asarray(load_export(exported).act(observation))
    assert actions.shape == (1000, 5)
    assert np.ptp(expected, axis=0).min() > 1e-3, "the policy says the same to every observation: nothing is compared"
    assert np.abs(actions - expected).max() <= 1e-5


def test_one_program_serves_every_platform_and_batch_size(run, exported):
    with zipfile.ZipFile(exported) as archive:
        program = jax.export.deserialize(bytearray(archive.read("policy.stablehlo")))
    assert program.platforms == ("cpu", "cuda", "tpu")
    policy = load_export(exported)
    observation = observations(policy.spec, 7)
    together = np.asarray(policy.act(observation))
    for row in range(7):
        alone = policy.act({name: array[row : row + 1] for name, array in observation.items()})
        np.testing.assert_allclose(np.asarray(alone)[0], together[row], atol=1e-5)


def test_the_same_checkpoint_gives_the_same_bytes(run, exported, tmp_path):
    export_checkpoint(run / "checkpoints", STEP, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()


def test_what_is_inside_names_no_path_and_says_where_it_comes_from(run, exported):
    with zipfile.ZipFile(exported) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        assert str(os.getcwd()).encode() not in content, name
        assert str(run).encode() not in content, name
        assert sys.prefix.encode() not in content, name
    policy = load_export(exported)
    assert policy.provenance["run"] == "run"
    assert policy.provenance["env_steps"] == STEP
    assert len(policy.provenance["evaluation"]["episodes"]) == 3
    assert policy.provenance["trained_with"]["packages"]["jax"] == jax.__version__
    statistics = json.loads(members["normalizer.json"])
    assert len(statistics[0]["mean"]["joint_position"]) == 7
    entry = json.loads(members["spec.json"])["observation"]["joint_velocity"]
    assert (entry["shape"], entry["unit"]) == ([7], "rad/s")


def test_a_checkpoint_folder_without_its_run_can_be_exported(run, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "checkpoints").symlink_to(run / "checkpoints")
    provenance = export_checkpoint(tmp_path / "alone" / "checkpoints", STEP, tmp_path / "policy.zip")
    assert provenance["trained_with"] is None
    assert provenance["evaluation"] is None


def test_the_runner_inside_needs_nothing_of_this_package(exported, tmp_path):
    with zipfile.ZipFile(exported) as archive:
        runner = archive.extract("run_policy.py", tmp_path)
    # -P keeps the folder of this repository off the path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, runner, str(exported)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.partition(": ")[2])
    policy = load_export(exported)
    zeros = {name: array.zeros(1) for name, array in policy.spec.observation.items()}
    np.testing.assert_allclose(shown, np.asarray(policy.act(zeros))[0], atol=1e-5)


def test_an_export_is_judged_like_its_checkpoint(run, exported):
    by_export = evaluate_checkpoint(exported, 4, 11, None)
    by_checkpoint = evaluate_checkpoint(run, 4, 11, None)
    assert by_export["checkpoint"] == "policy.zip"
    assert [episode["seed"] for episode in by_export["episodes"]] == [11, 12, 13, 14]
    for one, other in zip(by_export["episodes"], by_checkpoint["episodes"], strict=True):
        assert one["return"] == pytest.approx(other["return"], abs=0.05)


def test_export_refuses_what_is_no_checkpoint(tmp_path, run, capsys):
    assert cli.main(["export", str(tmp_path), str(tmp_path / "policy.zip")]) == 2
    assert "no committed checkpoint" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="no committed step 3"):
        export_checkpoint(run / "checkpoints", 3, tmp_path / "policy.zip")
    (tmp_path / "file").write_text("")
    assert cli.main(["export", str(run), str(tmp_path / "file" / "policy.zip")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "something was left behind"


def test_exporting_leaves_the_source_locations_of_others_alone(run):
    before = jax.config.values["jax_traceback_in_locations_limit"]
    meta = reader.load_meta(run / "checkpoints", STEP)
    experiment = build(presets.validate(meta["config"], "test"))
    assert b".py" not in export_program(experiment, policy_template(experiment.agent))
    assert jax.config.values["jax_traceback_in_locations_limit"] == before
