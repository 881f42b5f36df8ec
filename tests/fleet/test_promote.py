"""`best` moves on evidence only, and always points to a whole checkpoint."""

import json
import os
import re
import shutil
import threading

import jax.numpy as jnp
import pytest
import yaml

from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.locks import exclusive
from robo_rl.checkpoints.reader import load_policy
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import CheckpointError, UserError
from robo_rl.evaluation import locate
from robo_rl.export.policy import provenance_of
from robo_rl.fleet import promote as promoting
from robo_rl.fleet.blocks import Block, block_file, merge, open_suite, write_result
from robo_rl.fleet.coordinator import run_fleet
from robo_rl.fleet.promote import promote, read_history
from robo_rl.fleet.suite import Variation
from tests.fleet import stub
from tests.fleet.test_coordinator import Inline

SUITE = stub.make_suite(episodes=40, block_episodes=10, promotion={"min_episodes": 20, "margin": 0.05})


def judged_run(folder, successes):
    """A run whose checkpoints succeed, per block, in so many of the 10 episodes."""
    run = stub.make_run(folder)
    with CheckpointWriter(run.checkpoints, keep_newest=20, keep_best=0) as writer:
        for step in successes:
            writer.save(step, {"w": jnp.full(2, step)}, None, {})
    open_suite(run, SUITE)
    for step, counts in successes.items():
        judge(run, step, counts)
    return run


def judge(run, step, counts):
    block = Block(str(run.path), step, item_digest(run.checkpoints / str(step), "policy"), "nominal", None)
    for index, count in enumerate(counts):
        judge_block(SUITE, block._replace(index=index), count)


def judge_block(suite, block, count):
    episodes = [
        {"seed": seed, "kind": "", "return": 0.0, "length": 1, "success": place < count}
        for place, seed in enumerate(suite.seeds(block.index))
    ]
    write_result(block_file(suite, block), {"episodes": episodes})


def add(run, step, counts):
    with CheckpointWriter(run.checkpoints, keep_newest=20, keep_best=0) as writer:
        writer.save(step, {"w": jnp.full(2, step)}, None, {})
    judge(run, step, counts)


def test_the_first_needs_nobody_to_beat_and_the_next_must_be_better(tmp_path):
    run = judged_run(tmp_path / "run", {100: [2, 2, 2, 2], 200: [5, 5, 5, 5]})
    assert promote(run, dry_run=True).promotes
    assert not (run.path / "best").exists()
    assert promote(run).candidate.step == 200
    assert float(load_policy(run.path / "best" / "checkpoints", 200)["w"][0]) == 200
    assert not promote(run).promotes
    add(run, 300, [6, 5, 6, 5])  # better where it is chosen, not where it is confirmed
    decision = promote(run)
    assert (decision.promotes, decision.candidate.step) == (False, 300)
    assert "not more than the margin of 0.05" in decision.reason
    add(run, 400, [9, 9, 9, 9])
    decision = promote(run)
    assert decision.promotes
    assert decision.comparison.gain == pytest.approx(0.4)
    assert (run.path / "best").resolve().name == "0002"
    first, second = read_history(run)
    assert (first["against"], second["against"]["step"]) == (None, 200)
    assert second["evidence"]["blocks"] == [1, 3]
    assert second["evidence"]["comparison"]["low"] == decision.comparison.low > 0.05


def test_an_export_of_best_carries_its_evidence(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    promote(run)
    run.write_evaluation(100, {"made up": True})
    provenance = provenance_of(run.path / "best" / "checkpoints", 100)
    assert (provenance["run"], provenance["promotion"]["evidence"]["mean"]) == ("run", 0.9)
    assert provenance["evaluation"] == {"made up": True}
    assert provenance_of(run.checkpoints, 100)["promotion"] is None
    shutil.rmtree(run.checkpoints / "100")
    stub.add_checkpoint(run, 100, "of a resumed run")
    assert provenance_of(run.path / "best" / "checkpoints", 100)["evaluation"] is None


def test_a_lucky_half_promotes_nothing(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [10, 5, 10, 5])
    assert not promote(run).promotes


def test_too_few_episodes_promote_nothing(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    strict = SUITE.model_copy(update={"promotion": SUITE.promotion.model_copy(update={"min_episodes": 21})})
    open_suite(run, strict)
    decision = promote(run)
    assert not decision.promotes
    assert "20 episodes of evidence are fewer than the 21" in decision.reason


def test_a_score_below_the_floor_promotes_nothing_not_even_the_first(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 4, 9, 4]})
    for floor, promotes in ((0.5, False), (0.4, True)):
        rule = SUITE.promotion.model_copy(update={"min_score": floor})
        (run.evaluations / SUITE.name / "suite.json").unlink()
        open_suite(run, SUITE.model_copy(update={"promotion": rule}))
        decision = promote(run)
        assert decision.promotes == promotes
    assert "first to be promoted" in decision.reason


def test_best_outlives_retention_and_a_resume(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    promote(run)
    shutil.rmtree(run.checkpoints / "100")
    assert load_policy(run.path / "best" / "checkpoints", 100)["w"].shape == (2,)


def test_without_all_blocks_there_is_no_candidate(tmp_path):
    run = stub.make_run(tmp_path / "run")
    with pytest.raises(UserError, match="no evaluations"):
        promote(run)
    run = judged_run(tmp_path / "other", {100: [9, 9, 9]})
    with pytest.raises(UserError, match="Let the fleet finish"):
        promote(run)
    with pytest.raises(UserError, match="no run folder"):
        promote(stub.RunFolder(tmp_path / "none"))


def test_of_copies_the_current_and_the_one_before_are_kept(tmp_path):
    run = judged_run(tmp_path / "run", {100: [1, 1, 1, 1]})
    promote(run)
    for step in (200, 300, 400):
        add(run, step, [3 * step // 100 - 2] * 4)
        assert promote(run).promotes
    assert sorted(path.name for path in (run.path / "promoted").iterdir()) == ["0003", "0004"]
    assert [entry["number"] for entry in read_history(run)] == [1, 2, 3, 4]
    assert float(load_policy(run.path / "best" / "checkpoints", 400)["w"][0]) == 400


def test_of_two_threads_one_promotes_once(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    both_here, outcomes = threading.Barrier(2), []

    def try_it():
        both_here.wait()
        try:
            outcomes.append(promote(run).promotes)
        except UserError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=try_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == len(read_history(run)) == 1
    [other] = [outcome for outcome in outcomes if outcome is not True]
    assert other is False or f"Process {os.getpid()} is promoting" in other


def test_a_suite_that_changed_is_refused_by_field(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    file = tmp_path / "stub.yaml"
    file.write_text(yaml.safe_dump(SUITE.model_dump(mode="json")))
    assert promote(run, str(file), dry_run=True).promotes
    fields = {**SUITE.model_dump(mode="json"), "variations": {"nominal": {"env": {"episode_steps": 5}}}}
    file.write_text(yaml.safe_dump(fields))
    with pytest.raises(UserError, match=r"variations.nominal.env.episode_steps: None -> 5(.|\n)*--suite stub"):
        promote(run, str(file))
    assert promote(run, "stub").promotes


def test_two_at_once_are_refused(tmp_path):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    with (
        exclusive(run.path / "promote.lock", "4711", str),
        pytest.raises(UserError, match="Process 4711 is promoting"),
    ):
        promote(run)


def test_an_incumbent_that_a_fleet_can_still_judge_is_waited_for(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [9, 9, 9, 9])
    shutil.rmtree(next((run.evaluations / "stub").glob("100-*")))
    with pytest.raises(UserError, match=r"step 100, was not judged by all of suite stub.* let the fleet finish"):
        promote(run)


def extended(run, **changes):
    """The suite with what came to it after step 100 was promoted and retention took it; 200 is judged by all of it."""
    shutil.rmtree(run.checkpoints / "100")
    suite = SUITE.model_copy(update=changes)
    opened = open_suite(run, suite)
    [folder] = (run.evaluations / "stub").glob("200-*")
    for variation in opened.variations:
        for index in range(opened.blocks):
            judge_block(opened, Block(str(run.path), 200, folder.name.partition("-")[2], variation, index), 9)
    return suite


def test_an_incumbent_that_is_gone_is_compared_on_the_episodes_it_has(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [9, 9, 9, 9])
    extended(run, episodes=80)
    decision = promote(run)
    assert decision.promotes
    assert (decision.blocks, decision.episodes, decision.comparison.episodes) == ([1, 3], 20, 20)
    assert decision.comparison.gain == pytest.approx(0.4)
    assert read_history(run)[-1]["evidence"]["blocks"] == [1, 3]


def test_too_few_episodes_in_common_say_what_to_do_and_doing_it_helps(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [9, 9, 9, 9])
    before = tmp_path / "stub.yaml"
    before.write_text(yaml.safe_dump(SUITE.model_dump(mode="json")))
    suite = extended(run, variations={"nominal": Variation(), "dark": Variation()})
    with pytest.raises(UserError, match="it lacks blocks in dark, and its checkpoint is gone from") as refusal:
        promote(run)
    told = str(refusal.value)
    assert "have 0 episodes of evidence on it in common, fewer than the 20 that the suite asks for" in told
    assert "a stub.yaml without what came to it since" in told
    assert promote(run, str(before), dry_run=True).promotes
    # The other way: the copy is put back, and judged
    [command] = re.findall(r"cp -r (\S+) (\S+)\)", told)
    shutil.copytree(command[0], f"{command[1]}/100")
    run_fleet([run], lambda run: suite, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    decision = promote(run)
    assert decision.comparison.episodes == 40


def test_an_incumbent_of_another_suite_cannot_be_compared(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    shutil.rmtree(run.checkpoints / "100")
    stub.add_checkpoint(run, 200)
    other = SUITE.model_copy(update={"name": "other"})
    run_fleet([run], lambda run: other, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    with pytest.raises(UserError, match=r"Promote by the suite that it was promoted by \(--suite stub\)"):
        promote(run, "other")


def test_a_damaged_candidate_leaves_best_alone(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [9, 9, 9, 9])
    file = max((run.checkpoints / "200" / "policy").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged"):
        promote(run)
    assert load_policy(run.path / "best" / "checkpoints", 100)["w"].shape == (2,)
    assert len(read_history(run)) == 1


def test_a_damaged_block_is_no_evidence(tmp_path):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    [file] = run.evaluations.glob("stub/100-*/nominal/00001.json")
    record = json.loads(file.read_text())
    file.write_text(json.dumps({"episodes": record["episodes"][1:]}))
    with pytest.raises(UserError, match="is not the result of block 1"):
        promote(run)


@pytest.mark.parametrize("dies_at", ["_copy_checkpoint", "write_json_atomic", "_point_to_last"])
def test_a_promotion_that_is_cut_off_is_taken_up_by_the_next(tmp_path, monkeypatch, dies_at):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5]})
    promote(run)
    add(run, 200, [10, 10, 10, 10])
    real = getattr(promoting, dies_at)

    def dies(*arguments):
        if dies_at != "_point_to_last" or len(arguments[1]) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(promoting, dies_at, dies)
        with pytest.raises(KeyboardInterrupt):
            promote(run)
    assert load_policy(run.path / "best" / "checkpoints", 100)["w"].shape == (2,)
    promote(run)
    assert float(load_policy(run.path / "best" / "checkpoints", 200)["w"][0]) == 200
    assert [entry["step"] for entry in read_history(run)] == [100, 200]


def test_what_a_killed_promotion_had_copied_is_not_promoted_with_the_next(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "run", {100: [5, 5, 5, 5], 300: [9, 9, 9, 9]})

    def dies(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promoting, "write_json_atomic", dies)
        with pytest.raises(KeyboardInterrupt):
            promote(run)
    shutil.rmtree(run.checkpoints / "300")
    (run.path / ".promoted.json.1.tmp").touch()
    (run.path / ".best.1.tmp").symlink_to("nowhere")
    assert promote(run).candidate.step == 100
    assert list(run.path.glob(".*")) == []
    assert locate(run.path / "best") == (run.path / "best" / "checkpoints", 100)
    assert os.listdir(run.path / "best" / "checkpoints") == ["100"]


@pytest.mark.parametrize("happens", ["removed", "replaced"])
def test_a_candidate_that_goes_while_it_is_copied_is_not_promoted(tmp_path, monkeypatch, happens):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    copy = shutil.copy2

    def meanwhile(source, target):
        if "policy" in source.parts and (run.checkpoints / "100" / "policy").exists():
            shutil.rmtree(run.checkpoints / "100")
            if happens == "replaced":
                stub.add_checkpoint(run, 100, "other weights")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", meanwhile)
    with pytest.raises(CheckpointError, match=r"100 is no longer the checkpoint that was judged(.|\n)*promote again"):
        promote(run)
    assert list((run.path / "promoted").rglob("*unfinished*")) == []
    assert read_history(run) == []


def test_a_candidate_that_was_replaced_since_it_was_chosen_is_not_promoted(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})
    choose = promoting.decide

    def meanwhile(*arguments):
        decision = choose(*arguments)
        shutil.rmtree(run.checkpoints / "100")
        with CheckpointWriter(run.checkpoints, keep_newest=20, keep_best=0) as writer:
            writer.save(100, {"w": jnp.zeros(2)}, None, {})
        return decision

    monkeypatch.setattr(promoting, "decide", meanwhile)
    with pytest.raises(CheckpointError, match="is no longer the checkpoint that was judged"):
        promote(run)
    assert not (run.path / "best").exists()


def test_a_disk_that_is_full_in_the_middle_of_a_copy_leaves_no_part_of_it(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "run", {100: [9, 9, 9, 9]})

    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        promote(run)
    assert list((run.path / "promoted").rglob("*unfinished*")) == []
