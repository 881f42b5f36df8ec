import json

import pytest

from robo_rl import resources
from robo_rl.config import Config, EnvConfig, EvaluationConfig
from robo_rl.errors import ConfigError
from robo_rl.fleet.suite import (
    environment,
    evaluation_environment,
    incompatibilities,
    load_suite,
    parse_suite,
    resolved,
    scenario_of,
    suite_for,
)
from tests.fleet.stub import make_suite


def test_the_shipped_suites_can_be_read_and_are_found_by_task():
    names = {file.stem for file in (resources.configs() / "evaluation").glob("*.yaml")}
    assert names >= {"grasp", "suite"}
    for name in names:
        assert load_suite(name).name == name
    assert suite_for(EnvConfig(name="suite/cheetah-run")).name == "suite"
    assert suite_for(EnvConfig(name="grasp/objects")).name == "grasp"
    assert suite_for(EnvConfig(name="grasp/objects", observation="camera")).name == "grasp_camera"
    with pytest.raises(ConfigError, match="No shipped suite is for toy/reach"):
        suite_for(EnvConfig(name="toy/reach"))


def test_blocks_cut_the_seeds_without_gap_or_overlap():
    suite = make_suite(episodes=12, block_episodes=3, first_seed=5)
    assert [seed for block in range(suite.blocks) for seed in suite.seeds(block)] == list(range(5, 17))


def test_a_variation_is_put_over_the_runs_environment():
    suite = make_suite(variations={"a": {}, "b": {"env": {"reward": "sparse"}}})
    base = EnvConfig(name="toy/reach", step_penalty=0.5)
    assert environment(suite, "a", base) == base
    assert environment(suite, "b", base) == base.model_copy(update={"reward": "sparse"})
    config = Config(env=base, evaluation=EvaluationConfig(family="held_out"))
    assert evaluation_environment(suite, "a", config).family == "held_out"
    assert scenario_of(suite, "b")(config)[1] == suite.envs


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"episodes": 7}, "multiple of it"),
        ({"episodes": 2}, "two times block_episodes"),
        ({"epsiodes": 7}, "epsiodes: there is no such field. Nearest: episodes"),
        ({"variations": {}}, "variations"),
        ({"variations": {"../up": {}}}, "becomes a folder"),
        ({"variations": {"a": {"env": {"famly": "train"}}}}, "variations.a.env.famly: .* Nearest: family"),
        ({"variations": {"a": {"env": {"family": "all"}}}}, "variations.a.env.family is 'all'"),
        ({"promotion": {"confidence": 1.5}}, "promotion.confidence is 1.5"),
    ],
)
def test_bad_suites_name_their_field(fields, said):
    data = {"name": "bad", "task": "toy/*", "episodes": 8, "block_episodes": 2}
    with pytest.raises(ConfigError, match=said):
        parse_suite({**data, **fields}, "bad.yaml")


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="Nearest: grasp"):
        load_suite("grap")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_suite(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_text("")
    with pytest.raises(ConfigError, match="holds no fields"):
        load_suite(str(tmp_path / "bad.yaml"))
    with pytest.raises(ConfigError, match="no variation 'b'"):
        scenario_of(make_suite(), "b")


def test_what_makes_results_incomparable():
    suite = make_suite()
    assert incompatibilities(suite, make_suite(episodes=40, promotion={"margin": 1.0})) == []
    assert incompatibilities(suite, make_suite(variations={"nominal": {}, "more": {}})) == []
    assert incompatibilities(suite, make_suite(envs=4)) == ["envs: 2 -> 4"]
    [said] = incompatibilities(suite, make_suite(variations={"nominal": {"env": {"reward": "sparse"}}}))
    assert said == "variations.nominal.env.reward: (no such field) -> 'sparse'"


def test_a_resolved_suite_is_the_same_for_any_evaluation_of_the_run():
    suite = make_suite(variations={"a": {}, "b": {"env": {"family": "train", "variation": {"mass_scale": 2.0}}}})
    config = Config(env=EnvConfig(name="toy/reach", reward_noise=0.5), evaluation=EvaluationConfig(episode_steps=9))
    whole = resolved(suite, config)
    changed = config.model_copy(update={"evaluation": EvaluationConfig(episode_steps=3, family="train")})
    for variation in suite.variations:
        expected = evaluation_environment(suite, variation, config)
        assert evaluation_environment(whole, variation, changed) == expected
    assert resolved(whole, changed) == whole == parse_suite(json.loads(whole.model_dump_json()), "suite.json")
    assert incompatibilities(whole, resolved(suite, changed)) == [
        "variations.a.env.episode_steps: 9 -> 3",
        "variations.a.env.family: 'held_out' -> 'train'",
        "variations.b.env.episode_steps: 9 -> 3",
    ]
    with pytest.raises(ConfigError, match=r"is for toy/reach .* task is toy/other"):
        resolved(whole, Config(env=EnvConfig(name="toy/other")))
