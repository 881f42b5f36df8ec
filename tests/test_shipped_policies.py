"""The policies under docs/policies are whole, small, fit this version, and do what their page says."""

from pathlib import Path

import pytest

from robo_rl import presets
from robo_rl.evaluation import evaluate_checkpoint
from robo_rl.export.loading import load_export

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "policies"
POLICIES = sorted(FOLDER.glob("*.zip"))


def test_there_is_one_for_a_first_command():
    assert FOLDER / "grasp_cube.zip" in POLICIES


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_it_is_small_and_says_where_it_comes_from(file):
    assert file.stat().st_size < 3e6
    page = (FOLDER / "README.md").read_text()
    exported = load_export(file)
    provenance = exported.provenance
    assert provenance["trained_with"]["git"]["dirty"] is False
    assert provenance["trained_with"]["git"]["commit"][:7] in page
    assert f"--seed {provenance['trained_with']['seed']} --env-steps {exported.config.env_steps}`" in page
    assert exported.config.env_steps <= provenance["env_steps"] < exported.config.env_steps + 200
    assert f"{provenance['evaluation']['success']['rate']:.1%}".replace("%", " %") in page


def test_it_is_of_the_preset_as_it_is_now():
    trained, now = load_export(FOLDER / "grasp_cube.zip").config, presets.parse("grasp_cube", [])
    assert (trained.agent, trained.env, trained.replay) == (now.agent, now.env, now.replay)


def test_the_cube_is_grasped():
    record = evaluate_checkpoint(FOLDER / "grasp_cube.zip", 20, 0, None)
    assert record["success"]["rate"] >= 0.9
