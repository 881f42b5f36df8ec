"""A fleet on a run in an object store: the same files as on a disk, whatever order the checkpoints arrive in."""

import shutil
import time

import jax
import numpy as np
import pytest

from robo_rl import cli, envs
from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.reader import load_meta, load_policy
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import CheckpointError, ConfigError, UserError
from robo_rl.export.loading import load_export
from robo_rl.files import as_path, read_json, require_reachable, write_json_atomic
from robo_rl.fleet import followed, presence
from robo_rl.fleet.blocks import Block, CheckpointGoneError, block_file, merge, read_blocks
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.presence import fleet_lock
from robo_rl.fleet.promote import promote
from robo_rl.fleet.table import read_table
from robo_rl.fleet.worker import evaluate_block
from robo_rl.recording.settings import make_policy, parse, settled
from robo_rl.runtimes import inline
from tests.fleet import stub
from tests.fleet.object_store import object_store, upload
from tests.fleet.test_coordinator import Inline, judge
from tests.fleet.test_worker import forget
from tests.roles.parts import tiny
from tests.toys import compiled_quickly, toy_family

URI = "gs://bucket/runs/one"
SUITE = stub.make_suite(episodes=4, block_episodes=2, envs=2)


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(followed, "REMOTE_POLL_SECONDS", 0.0)
    with object_store() as store:
        yield store
    forget()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose checkpoint is real."""
    with toy_family(), compiled_quickly():
        run = RunFolder(tmp_path_factory.mktemp("trained") / "run")
        inline.train(tiny(), run, lambda kind, what: None)
        yield run
    forget()


@pytest.fixture
def local(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def results(run):
    return [row._replace(run="") for row in read_table([(run, "stub")])]


def test_the_rows_are_those_of_the_same_run_on_a_disk(local, store):
    upload(local.path, URI, store, skip=("pins", "run.lock"))
    remote, calls = RunFolder(URI), (evaluate_block, merge)
    quiet = {"report": lambda note: None}
    there = run_fleet([remote], lambda run: SUITE, Inline(), 1, calls, **quiet)
    here = run_fleet([local], lambda run: SUITE, Inline(), 1, calls, **quiet)
    assert there == here
    assert there.blocks == 2 * len(committed_steps(local.checkpoints)) > 0
    assert results(remote) == results(local) != []
    assert {row.run for row in read_table([(remote, "stub")])} == {URI}
    assert run_fleet([remote], lambda run: SUITE, Inline(), 1, calls, **quiet).blocks == 0
    assert presence.read_presence(remote)["state"] == "ended"
    assert not [name for name in store.store if ".tmp" in name or "pins" in name]


def test_one_checkpoint_is_read_checked_and_judged_from_there(local, store, tmp_path, capsys):
    upload(local.path, URI, store)
    remote, step = RunFolder(URI), committed_steps(local.checkpoints)[-1]
    assert load_meta(remote.checkpoints, step) == load_meta(local.checkpoints, step)
    shapes = [leaf.shape for leaf in jax.tree.leaves(load_policy(remote.checkpoints, step))]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(load_policy(local.checkpoints, step))]
    command = ["evaluate", f"{URI}/checkpoints/{step}", "--episodes", "2", "--json", str(tmp_path / "record.json")]
    assert cli.main(command) == 0
    assert len(read_json(tmp_path / "record.json")["episodes"]) == 2
    name = max((name for name in store.store if f"/{step}/policy/" in name), key=lambda name: store.info(name)["size"])
    store.pipe_file(name, b"x" + store.cat_file(name)[1:])
    with pytest.raises(CheckpointError, match=rf"{URI}/checkpoints/{step}/policy.* is damaged"):
        load_policy(remote.checkpoints, step)
    with pytest.raises(CheckpointError, match="no committed step 7"):
        load_policy(remote.checkpoints, 7)
    block = Block(URI, step, item_digest(remote.checkpoints / str(step), "policy"), "nominal", 0)
    with pytest.raises(CheckpointError, match="is damaged") as raised:
        evaluate_block(SUITE, block)
    assert not isinstance(raised.value, CheckpointGoneError)


def test_a_checkpoint_counts_when_all_its_files_have_come(local, store):
    steps = committed_steps(local.checkpoints)
    upload(local.path, URI, store, skip=(f"checkpoints/{steps[-1]}/policy",))
    store.pipe_file(f"{URI}/checkpoints/7/hashes.json", store.cat_file(f"{URI}/checkpoints/{steps[-1]}/hashes.json"))
    with pytest.raises(CheckpointError, match="no committed checkpoint yet"):
        judge([RunFolder(URI)], suite=SUITE)
    upload(local.path, URI, store)
    assert judge([RunFolder(URI)], suite=SUITE)[0].blocks == 2 * len(steps)


def test_a_follower_sees_what_comes_and_ends_with_the_training(tmp_path, store):
    local = stub.make_run(tmp_path / "run", [100])
    upload(local.path, URI, store)
    remote = RunFolder(URI)
    write_json_atomic(remote.status_file, {"state": "training", "time": time.time()})

    def evaluate(suite, block):
        stub.evaluate(suite, block)
        if block.step == 100 and block.index == 0:
            stub.add_checkpoint(local, 200)
            write_json_atomic(local.status_file, {"state": "finished"})
            for step in (100, 200):
                (local.checkpoints / str(step) / "policy").mkdir(exist_ok=True)
                (local.checkpoints / str(step) / "policy" / "w").write_text("1")
            upload(local.path, URI, store)

    (local.checkpoints / "100" / "policy").mkdir()
    (local.checkpoints / "100" / "policy" / "w").write_text("1")
    upload(local.path, URI, store, skip=("status.json",))
    assert judge([remote], evaluate=evaluate, mode="until_done")[0].blocks == 8
    block = Block(URI, 200, item_digest(remote.checkpoints / "200", "policy"), "nominal", None)
    assert len(read_blocks(stub.make_suite(), block)) == 8
    assert str(block_file(stub.make_suite(), block._replace(index=0))).startswith(f"{URI}/evaluations/stub/200-")


def test_a_second_fleet_is_refused_while_the_first_one_is_heard(tmp_path, store, monkeypatch):
    upload(stub.make_run(tmp_path / "run").path, URI, store)
    run = RunFolder(URI)
    with fleet_lock(run):
        monkeypatch.setattr(presence, "fleet_name", lambda: "elsewhere process 1")
        with pytest.raises(UserError, match=r"already followed by the fleet of \S+ process \d+ \(heard 0 s ago\)"):
            judge([run], mode="follow")
        monkeypatch.setattr(presence, "SILENT_SECONDS", 0.0)
        judge([run], mode="follow", stop=lambda: True)


def test_what_cannot_be_done_there_is_said(tmp_path, store, capsys):
    upload(stub.make_run(tmp_path / "run").path, URI, store)
    with pytest.raises(UserError, match="has no links for `best`"):
        promote(RunFolder(URI))
    assert cli.main(["promote", URI]) == 2
    assert f"{URI} is in an object store, which has no links for `best`. Copy the run here" in capsys.readouterr().err
    with pytest.raises(UserError, match="no run folder"):
        judge([RunFolder("gs://bucket/nothing")])
    with pytest.raises(SystemExit):
        cli.main(["fleet", "ftp://host/run"])
    assert "known are gs://, s3://, az://, hf:// and local paths" in capsys.readouterr().err


def test_a_store_whose_package_is_missing_is_named(monkeypatch, capsys):
    def no_package(*arguments):
        raise ImportError("Please install s3fs to access S3")

    monkeypatch.setattr("etils.epath.backend.fsspec_backend.exists", no_package)
    with pytest.raises(ConfigError, match=r"s3://bucket/run cannot be opened: Please install s3fs"):
        require_reachable(as_path("s3://bucket/run"))
    for command in ("fleet", "status", "evaluate", "export"):
        arguments = ["policy.zip"] if command == "export" else []
        assert cli.main([command, "s3://bucket/run", *arguments]) == 2, command
        assert "s3://bucket/run cannot be opened: Please install s3fs" in capsys.readouterr().err


def test_status_and_export_read_a_run_there(local, store, tmp_path, capsys):
    upload(local.path, URI, store)
    [step] = committed_steps(local.checkpoints)
    assert cli.main(["status", URI]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["checkpoints", str(step)] in lines
    assert ["env", "steps", "240", "of", "240"] in lines
    for name, place in (("there", URI), ("here", local.path), ("step", f"{URI}/checkpoints/{step}")):
        assert cli.main(["export", str(place), str(tmp_path / f"{name}.zip")]) == 0
    there, here, one = (load_export(tmp_path / f"{name}.zip") for name in ("there", "here", "step"))
    assert there.config == here.config == one.config
    observation = {name: np.zeros((1, *array.shape), array.dtype) for name, array in here.spec.observation.items()}
    assert np.array_equal(there.act(observation), here.act(observation))


def test_a_data_set_is_recorded_with_a_policy_from_there(local, store, tmp_path):
    upload(local.path, URI, store)
    [step] = committed_steps(local.checkpoints)
    flags = ["--episodes", "1", "--out", str(tmp_path / "data")]
    there, here = (settled(parse(["--policy", str(place), *flags])) for place in (URI, local.path))
    assert there.env == here.env
    assert there.policy == f"{URI}/checkpoints/{step}"
    spec = envs.make(there.env, 0).spec
    observation = {name: np.zeros((1, *array.shape), array.dtype) for name, array in spec.observation.items()}
    actions = [make_policy(config, spec)[0](observation) for config in (there, here)]
    np.testing.assert_array_equal(*actions)


@pytest.mark.parametrize(("said", "shown"), [("training", "training, said 4"), ("finished", "finished")])
def test_what_trains_elsewhere_is_not_said_to_have_stopped(local, store, capsys, said, shown):
    upload(local.path, URI, store)
    write_json_atomic(RunFolder(URI).status_file, {"state": said, "time": time.time() - 40, "pid": 7})
    assert cli.main(["status", URI]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("state")]
    assert line.split(maxsplit=1)[1].startswith(shown)
