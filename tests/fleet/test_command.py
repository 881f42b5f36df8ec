"""`robo-rl fleet` as a user meets it before any worker is asked."""

import pytest
import yaml

from robo_rl import cli
from tests.fleet import stub


@pytest.mark.parametrize("flags", [(), ("--suite", "grasp")])
@pytest.mark.parametrize(
    ("section", "fields", "said"),
    [
        ("env", {"gravity": 3.7}, "env.gravity: there is no such field"),
        ("env", {"reward": "dense"}, "env.reward is 'dense'"),
        ("learner", {"batch_sise": 3}, "learner.batch_sise: there is no such field. Nearest: batch_size"),
    ],
)
def test_a_run_of_another_version_is_refused_by_its_name_and_field(tmp_path, capsys, section, fields, said, flags):
    run = stub.make_run(tmp_path / "run", [100])
    config = yaml.safe_load(run.config_file.read_text())
    config[section].update(fields)
    run.config_file.write_text(yaml.safe_dump(config))
    assert cli.main(["fleet", str(run.path), *flags]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert str(run.config_file) in told
    assert "If another version of robo_rl made this run, judge it with that one; its manifest.json names it." in told


def test_a_run_without_a_task_is_refused(tmp_path, capsys):
    run = stub.make_run(tmp_path / "run", [100])
    run.config_file.write_text("env: none\n")
    assert cli.main(["fleet", str(run.path)]) == 2
    assert f"{run.config_file}:\n  env is 'none'" in capsys.readouterr().err
