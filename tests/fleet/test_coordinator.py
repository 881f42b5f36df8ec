"""The loop of a fleet, with an evaluation without physics: every block once, whatever dies, comes or goes."""

import concurrent.futures
import shutil

import pytest

from robo_rl.checkpoints.hashes import HASHES, item_digest, write_hashes
from robo_rl.checkpoints.layout import META, RUN, committed_steps
from robo_rl.checkpoints.pins import condemn
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config, EnvConfig, EvaluationConfig
from robo_rl.errors import CheckpointError, RunFailedError, UserError
from robo_rl.files import write_json_atomic
from robo_rl.fleet import followed, presence
from robo_rl.fleet.blocks import CheckpointGoneError, merge, suite_folder
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.executor import ProcessExecutor, WorkerDiedError
from robo_rl.fleet.presence import fleet_lock
from tests.fleet import stub
from tests.toys import SPEC


class Inline:
    """An executor that works at once, and remembers what on."""

    def __init__(self):
        self.blocks = []

    def submit(self, function, suite, block):
        future = concurrent.futures.Future()
        self.blocks.append(block)
        try:
            future.set_result(function(suite, block))
        except Exception as error:
            future.set_exception(error)
        return future


def judge(runs, executor=None, suite=None, evaluate=stub.evaluate, **options):
    suite, said = suite or stub.make_suite(), []
    tally = run_fleet(
        runs, lambda run: suite, executor or Inline(), 2, (evaluate, merge), report=said.append, **options
    )
    return tally, said


def test_every_block_once_the_newest_checkpoint_first(tmp_path):
    run, executor = stub.make_run(tmp_path / "run", [100, 300, 200]), Inline()
    tally, _ = judge([run], executor)
    assert (tally.blocks, tally.merged, tally.unreadable) == (12, 3, {})
    order = [(block.step, block.index) for block in executor.blocks if block.index is not None]
    assert order == [(step, index) for step in (300, 200, 100) for index in range(4)]
    names = {path.name for path in suite_folder(run, "stub").glob("300-*/nominal/*")}
    assert names == {f"{index:05d}.json" for index in range(4)}
    [row] = suite_folder(run, "stub").glob("300-*/nominal.json")
    assert stub.load(row)["episodes"] == 8
    assert stub.load(row)["success"]["rate"] == 0.5


def test_a_restarted_fleet_does_only_what_is_missing(tmp_path):
    run = stub.make_run(tmp_path / "run", [100, 200])
    judge([run])
    before = stub.tree(run.evaluations)
    assert judge([run])[0].blocks == 0
    [gone] = suite_folder(run, "stub").glob("100-*/nominal/00002.json")
    gone.unlink()
    (gone.parent / ".00002.json.1.tmp").write_text("half")
    next(suite_folder(run, "stub").glob("200-*/nominal.json")).unlink()
    tally, _ = judge([run])
    assert (tally.blocks, tally.merged) == (1, 2)
    assert stub.tree(run.evaluations) == before


def test_more_episodes_keep_the_blocks_there_are(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    judge([run])
    assert judge([run], suite=stub.make_suite(episodes=12))[0].blocks == 2
    [row] = suite_folder(run, "stub").glob("100-*/nominal.json")
    assert stub.load(row)["episodes"] == 12


def test_a_changed_suite_and_a_suite_for_another_task_are_refused(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    judge([run])
    with pytest.raises(UserError, match=r"first_seed: 0 -> 7(.|\n)*another name"):
        judge([run], suite=stub.make_suite(first_seed=7))
    with pytest.raises(UserError, match=r"is for grasp/\*.*toy/reach"):
        judge([run], suite=stub.make_suite(name="other", task="grasp/*"))


def resume(run, **fields):
    """What `robo-rl train` does first when a run is resumed with other fields of `evaluation`."""
    for step in committed_steps(run.checkpoints):
        folder = run.checkpoints / str(step)
        before = stub.load(folder / HASHES)
        for item in (RUN, META):
            (folder / item).mkdir(exist_ok=True)
            (folder / item / "whole").touch()
        write_hashes(folder, (RUN, META))
        write_json_atomic(folder / HASHES, before | stub.load(folder / HASHES))
    run.begin(Config(env=EnvConfig(name="toy/reach"), evaluation=EvaluationConfig(**fields)), SPEC)


def test_a_run_resumed_with_another_evaluation_is_judged_by_another_suite(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    resume(run, episode_steps=40)
    judge([run])
    before = stub.tree(suite_folder(run, "stub"))
    resume(run, episode_steps=5, family="train", episodes=7)
    stub.add_checkpoint(run, 200)
    with pytest.raises(UserError) as refusal:
        judge([run])
    told = str(refusal.value)
    assert "\n  variations.nominal.env.episode_steps: 40 -> 5\n" in told
    assert "\n  variations.nominal.env.family: 'held_out' -> 'train'\n" in told
    assert "another name (--suite FILE)" in told
    assert "resume it with those of before" in told
    assert stub.tree(suite_folder(run, "stub")) == before
    assert judge([run], suite=stub.make_suite(name="short"))[0].blocks == 8
    resume(run, episode_steps=40, episodes=7)
    assert judge([run])[0].blocks == 4


def test_a_suite_that_says_it_all_does_not_care_what_the_run_says(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    suite = stub.make_suite(variations={"nominal": {"env": {"episode_steps": 40, "family": "train"}}})
    judge([run], suite=suite)
    resume(run, episode_steps=5)
    assert judge([run], suite=suite)[0].blocks == 0


def test_the_record_of_an_earlier_version_is_completed(tmp_path):
    run, suite = stub.make_run(tmp_path / "run", [100]), stub.make_suite()
    judge([run])
    file = suite_folder(run, "stub") / "suite.json"
    complete = file.read_text()
    assert stub.load(file)["variations"]["nominal"]["env"]["episode_steps"] is None
    write_json_atomic(file, suite.model_dump(mode="json"))
    assert judge([run])[0].blocks == 0
    assert file.read_text() == complete


def test_a_killed_worker_costs_nothing_but_time(tmp_path):
    runs = [stub.make_run(tmp_path / name / "run", [100, 200]) for name in ("killed", "quiet")]
    with ProcessExecutor(2, {}) as executor:
        tally, said = judge(runs[:1], executor, evaluate=stub.die_once)
    judge(runs[1:])
    assert tally.deaths == 2
    assert "(killed by SIGKILL); another takes it over" in " ".join(said)
    assert stub.tree(runs[0].evaluations) == stub.tree(runs[1].evaluations)


def test_a_second_fleet_is_refused_by_the_first_ones_name(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    with fleet_lock(run), pytest.raises(UserError, match=r"already followed by the fleet of \S+ process \d+"):
        judge([run])
    judge([run])


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no committed checkpoint"):
        judge([stub.make_run(tmp_path / "empty")])
    with pytest.raises(UserError, match="no run folder"):
        judge([stub.RunFolder(tmp_path / "nothing")])
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="no run folder"):
        judge([stub.RunFolder(tmp_path / "other")])


def test_a_checkpoint_that_goes_is_forgotten_and_one_that_cannot_be_read_is_named(tmp_path):
    run = stub.make_run(tmp_path / "run", [100, 200, 300])

    def evaluate(suite, block):
        if block.step == 300:
            raise CheckpointError("a byte was flipped")
        if block.step == 200:
            shutil.rmtree(run.checkpoints / "200", ignore_errors=True)
            raise CheckpointGoneError("200 was removed")
        stub.evaluate(suite, block)

    tally, _ = judge([run], evaluate=evaluate)
    assert tally.unreadable == {str(run.checkpoints / "300"): "a byte was flipped"}
    assert [path.name[:4] for path in suite_folder(run, "stub").glob("*-*")] == ["100-"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"policy/w": "abc"}', '{"policy/w": {"bytes": 1}}', "\x00"])
def test_a_checkpoint_whose_hashes_are_damaged_is_named_and_not_waited_for(tmp_path, content):
    run = stub.make_run(tmp_path / "run", [100, 200])
    (run.checkpoints / "200" / "hashes.json").write_text(content)
    looks = iter(range(100))
    tally, _ = judge([run], evaluate=as_a_worker_reads, stop=lambda: next(looks) == 99)
    assert list(tally.unreadable) == [str(run.checkpoints / "200")]
    assert "hashes.json is damaged" in tally.unreadable[str(run.checkpoints / "200")]
    assert tally.blocks == 4
    assert next(looks) < 99, "it would never have ended"
    said = presence.read_presence(run)
    assert (said["newest"], said["judged"], said["unreadable"]) == (200, 1, [200])


def as_a_worker_reads(suite, block):
    """Whoever asks for another policy than the one that is there is told so."""
    if item_digest(RunFolder(block.run).checkpoints / str(block.step), "policy") != block.policy:
        raise CheckpointGoneError(f"{block.step} is no longer the checkpoint with policy {block.policy}")
    stub.evaluate(suite, block)


def test_a_damaged_checkpoint_that_is_made_anew_is_judged(tmp_path):
    run = stub.make_run(tmp_path / "run", [100, 200])
    (run.checkpoints / "100" / "hashes.json").write_text("{")

    with fleet_lock(run):
        one = followed.FollowedRun(run, stub.make_suite(), 1)
        one.poll()
        assert list(one.unreadable) == [100]
        shutil.rmtree(run.checkpoints / "100")
        one.poll()
        stub.add_checkpoint(run, 100)
        one.poll()
        assert one.progress()["open_checkpoints"] == 2
        assert one.unreadable == {}


def test_a_replaced_checkpoint_is_another_one(tmp_path):
    run = stub.make_run(tmp_path / "run", [100])
    judge([run])
    shutil.rmtree(run.checkpoints / "100")
    stub.add_checkpoint(run, 100, "other weights")
    assert judge([run])[0].blocks == 4


def test_a_bug_is_told_whole(tmp_path):
    def evaluate(suite, block):
        raise ZeroDivisionError("nobody thought of it")

    with pytest.raises(RunFailedError, match="nobody thought of it"):
        judge([stub.make_run(tmp_path / "run", [100])], evaluate=evaluate)


def test_runs_take_turns(tmp_path):
    executor = Inline()
    judge([stub.make_run(tmp_path / name, [100]) for name in ("one", "two")], executor)
    assert len({block.run for block in executor.blocks[:2]}) == 2


def test_every_k_thins_and_the_last_of_an_ended_run_is_judged(tmp_path):
    run, executor = stub.make_run(tmp_path / "run", [5000, 10_000, 15_000]), Inline()
    judge([run], executor, every=2)
    assert {block.step for block in executor.blocks} == {10_000, 15_000}


def test_a_follower_judges_what_comes_and_ends_with_the_training(tmp_path):
    run = stub.make_run(tmp_path / "run")

    def evaluate(suite, block):
        stub.evaluate(suite, block)
        if block.step < 300 and block.index == 0:
            stub.add_checkpoint(run, block.step + 100)

    stub.add_checkpoint(run, 100)
    tally, _ = judge([run], evaluate=evaluate, mode="until_done")
    assert tally.blocks == 12


def test_what_is_at_work_is_pinned_and_what_is_condemned_is_left_out(tmp_path):
    run, seen = stub.make_run(tmp_path / "run", [100, 200]), set()
    write_json_atomic(run.path / "pins" / "condemned.json", [100])

    def evaluate(suite, block):
        stub.evaluate(suite, block)
        assert condemn(run.checkpoints, {100, 200}) == {100}
        seen.add(block.step)

    with run.lock():
        judge([run], evaluate=evaluate)
    assert seen == {200}
    assert presence.read_presence(run)["judged"] == 1
    assert condemn(run.checkpoints, {100, 200}) == {100, 200}


def test_what_a_save_condemned_that_never_finished_is_judged(tmp_path):
    run = stub.make_run(tmp_path / "run", [100, 200])
    write_json_atomic(run.path / "pins" / "condemned.json", [100])
    assert judge([run])[0].blocks == 8
    assert presence.read_presence(run)["judged"] == 2


def test_a_checkpoint_that_was_condemned_and_stays_is_judged_later(tmp_path):
    run = stub.make_run(tmp_path / "run", [100, 200])
    one = followed.FollowedRun(run, stub.make_suite(), 1)
    with fleet_lock(run):
        with run.lock():
            one.poll()
            condemn(run.checkpoints, {100})
            assert {block.step for block in waiting(one)} == {200}
            one.poll()
            assert waiting(one) == []
            assert one.progress()["open_checkpoints"] == 1
        one.poll()
        assert {block.step for block in waiting(one)} == {100}


def waiting(one):
    blocks = []
    while (block := one.next_block()) is not None:
        blocks.append(block)
    return blocks


def test_a_full_disk_stops_the_fleet_and_the_next_one_goes_on(tmp_path):
    run, written = stub.make_run(tmp_path / "run", [100]), []

    def evaluate(suite, block):
        if len(written) == 2:
            raise UserError("00002.json cannot be written (No space left on device).")
        stub.evaluate(suite, block)
        written.append(block)

    with pytest.raises(UserError, match="No space left"):
        judge([run], evaluate=evaluate)
    assert judge([run])[0].blocks == 2


def test_a_block_that_kills_every_worker_ends_the_fleet(tmp_path):
    def evaluate(suite, block):
        raise WorkerDiedError("worker 0 died (killed by SIGSEGV)")

    with pytest.raises(RunFailedError, match=r"killed its worker 11 times; the last time: .*SIGSEGV"):
        judge([stub.make_run(tmp_path / "run", [100])], evaluate=evaluate)


def test_a_stop_finishes_what_is_in_flight(tmp_path):
    run, asked = stub.make_run(tmp_path / "run", [100, 200]), []

    def evaluate(suite, block):
        asked.append(True)
        stub.evaluate(suite, block)

    tally, _ = judge([run], evaluate=evaluate, stop=lambda: bool(asked), mode="follow")
    assert tally.blocks == len(asked) == 2
