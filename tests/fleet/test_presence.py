"""What a fleet leaves in a run's folder about itself."""

import pytest

from robo_rl.errors import UserError
from robo_rl.fleet import followed
from robo_rl.fleet.presence import fleet_lock, fleet_name, read_presence, write_presence
from tests.fleet import stub
from tests.fleet.test_coordinator import judge


def test_it_says_how_far_it_is_and_that_it_has_ended(tmp_path):
    run, heard = stub.make_run(tmp_path / "run", [100, 200]), []

    def evaluate(suite, block):
        stub.evaluate(suite, block)
        heard.append(read_presence(run))

    judge([run], evaluate=evaluate)
    assert {said["is_alive"] for said in heard} == {True}
    assert (heard[0]["state"], heard[0]["judged"], heard[0]["open_blocks"]) == ("at work", 0, 8)
    said = read_presence(run)
    assert (said["is_alive"], said["state"], said["judged"], said["open_blocks"]) == (False, "ended", 2, 0)
    assert said["fleet"] == fleet_name()


def test_what_stopped_it_is_not_hidden_by_last_words_that_cannot_be_written(tmp_path, monkeypatch):
    run = stub.make_run(tmp_path / "run", [100])

    def evaluate(suite, block):
        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("robo_rl.fleet.presence.write_json_atomic", full)
        raise UserError("00000.json cannot be written")

    with pytest.raises(UserError, match=r"00000.json cannot be written"):
        judge([run], evaluate=evaluate)


def test_what_a_killed_fleet_left_half_written_is_removed_by_the_next(tmp_path):
    run = stub.make_run(tmp_path / "run")
    for folder in (run.path, run.path / "pins"):
        (folder / ".fleet.json.1.tmp").write_text("{")
    with fleet_lock(run):
        write_presence(run, state="at work")
    assert not list(run.path.rglob("*.tmp"))


def test_nobody_was_there(tmp_path):
    assert read_presence(stub.make_run(tmp_path / "run")) is None


def test_a_dead_trainer_counts_as_gone_after_a_while_without_a_sign(tmp_path, monkeypatch):
    run = stub.make_run(tmp_path / "run", [100])
    run.status_file.write_text('{"state": "training"}')
    one = followed.FollowedRun(run, stub.make_suite(), 1)
    one.poll()
    assert not one.is_over()
    monkeypatch.setattr(followed, "TRAINER_ABSENT_SECONDS", 0.0)
    assert one.is_over()
    with run.lock():
        assert not one.is_over()
