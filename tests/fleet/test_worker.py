"""What a worker writes: deterministic to the byte, and nothing for a checkpoint that is gone, damaged or unfit."""

import resource
import shutil

import pytest

from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.errors import CheckpointError, ConfigError, UserError
from robo_rl.evaluation import evaluate_checkpoint
from robo_rl.fleet import worker
from robo_rl.fleet.blocks import Block, CheckpointGoneError, block_file, merge, open_suite, row_file, suite_folder
from robo_rl.fleet.suite import load_suite, run_config, scenario_of
from robo_rl.fleet.worker import evaluate_block, warm_up
from robo_rl.runtimes import inline
from tests.fleet import stub
from tests.roles.parts import tiny
from tests.toys import SPEC, compiled_quickly, toy_family

SUITE = stub.make_suite(episodes=8, block_episodes=4, envs=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("trained") / "run")
    with toy_family(), compiled_quickly():
        inline.train(tiny(), run, lambda kind, what: None)
        yield run
    forget()


def forget():
    """Make this process a worker that has done nothing yet."""
    worker._bench.cache_clear()
    worker._policy.cache_clear()
    while worker._environments:
        worker._environments.popitem()[1].close()


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    yield RunFolder(tmp_path / "run")
    forget()


def block_of(run, index=0, variation="nominal"):
    step = committed_steps(run.checkpoints)[-1]
    digest = item_digest(run.checkpoints / str(step), "policy")
    return Block(str(run.path), step, digest, variation, index)


def test_a_block_evaluated_twice_is_the_same_file(run):
    first, second = block_of(run, 0), block_of(run, 1)
    warm_up(str(run.path))
    evaluate_block(SUITE, first)
    before = block_file(SUITE, first).read_bytes()
    evaluate_block(SUITE, second)
    block_file(SUITE, first).unlink()
    evaluate_block(SUITE, first)
    assert block_file(SUITE, first).read_bytes() == before
    forget()
    evaluate_block(SUITE, first)
    assert block_file(SUITE, first).read_bytes() == before
    assert sorted(path.name for path in block_file(SUITE, first).parent.iterdir()) == ["00000.json", "00001.json"]


def test_the_merged_row_and_any_single_episode_can_be_had_again(run):
    for index in range(2):
        evaluate_block(SUITE, block_of(run, index))
    merge(SUITE, block_of(run))
    row = stub.load(row_file(SUITE, block_of(run)))
    assert row["episodes"] == 8
    assert row["worst"] == sorted(row["worst"], key=lambda one: (one["success"], one["return"]))
    worst = row["worst"][0]
    again = evaluate_checkpoint(run.path, 1, worst["seed"], None, scenario_of(SUITE, "nominal"))
    assert again["episodes"] == [worst]


def test_variations_are_other_environments(run):
    suite = stub.make_suite(variations={"nominal": {}, "named": {"env": {"episode_steps": 5}}})
    for variation in suite.variations:
        evaluate_block(suite, block_of(run, variation=variation))
    assert len(worker._environments) == 2


def test_what_is_played_is_what_was_written_down_whatever_the_run_says_by_then(run, monkeypatch):
    opened, made, make = open_suite(run, SUITE), [], worker.envs.make_batched

    def remembered(config, count):
        made.append(config)
        return make(config, count)

    def resume(**fields):
        config = run_config(run)
        run.begin(config.model_copy(update={"evaluation": config.evaluation.model_copy(update=fields)}), SPEC)

    monkeypatch.setattr(worker.envs, "make_batched", remembered)
    resume(family="train", episode_steps=7)
    evaluate_block(opened, block_of(run))
    film = scenario_of(load_suite(str(suite_folder(run, SUITE.name) / "suite.json")), "nominal")
    assert [(config.family, config.episode_steps) for config in made[-1:]] == [("held_out", None)]
    assert film(run_config(run)) == (made[-1], SUITE.envs)
    with pytest.raises(ConfigError, match="episode_steps: None -> 7"):
        open_suite(run, SUITE)


def test_a_checkpoint_that_is_gone_or_replaced(run):
    block = block_of(run)
    with pytest.raises(CheckpointGoneError):
        evaluate_block(SUITE, block._replace(step=7))
    with pytest.raises(CheckpointGoneError, match="no longer the checkpoint with policy abc"):
        evaluate_block(SUITE, block._replace(policy="abc"))
    assert not block_file(SUITE, block).exists()


def test_a_damaged_checkpoint_is_named(run):
    block = block_of(run)
    folder = run.checkpoints / str(block.step) / "policy"
    file = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(CheckpointError, match="is damaged") as raised:
        evaluate_block(SUITE, block)
    assert not isinstance(raised.value, CheckpointGoneError)
    assert not block_file(SUITE, block).exists()


@pytest.mark.parametrize("happens", ["removed", "replaced"])
def test_a_checkpoint_that_goes_while_it_is_read(run, monkeypatch, happens):
    block, read = block_of(run), worker.load_policy
    folder = run.checkpoints / str(block.step)

    def meanwhile(*arguments):
        policy = read(*arguments)
        shutil.rmtree(folder)
        if happens == "replaced":
            stub.add_checkpoint(run, block.step, "other weights")
        return policy

    monkeypatch.setattr(worker, "load_policy", meanwhile)
    with pytest.raises(CheckpointGoneError, match="no longer the checkpoint"):
        evaluate_block(SUITE, block)
    assert not block_file(SUITE, block).exists()


def test_a_suite_whose_environment_does_not_fit_the_policy(run):
    suite = stub.make_suite(task="*", variations={"other": {"env": {"name": "suite/cartpole-swingup"}}})
    with pytest.raises(ConfigError, match=r"suite/cartpole-swingup(.|\n)*not those of the run's toy/reach"):
        evaluate_block(suite, block_of(run, variation="other"))


def test_a_disk_that_takes_no_more_leaves_no_half_of_a_result(run):
    block, before = block_of(run), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # the system then refuses every byte after the 100th
    try:
        with pytest.raises(UserError, match=r"00000.json cannot be written(.|\n)*start the fleet again"):
            evaluate_block(SUITE, block)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(block_file(SUITE, block).parent.iterdir()) == []
    evaluate_block(SUITE, block)
    assert block_file(SUITE, block).exists()


def test_a_result_that_cannot_be_written(run, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robo_rl.fleet.blocks.write_json_atomic", full)
    with pytest.raises(UserError, match=r"00000.json cannot be written \(No space left on device\)"):
        evaluate_block(SUITE, block_of(run))
