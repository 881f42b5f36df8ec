import pytest

from robo_rl import presets, resources
from robo_rl.config import Config
from robo_rl.errors import ConfigError

SHIPPED = sorted({path.stem for path in resources.configs().glob("*.yaml")} - set(presets.comparisons()))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_preset_is_valid_and_overrides_something(name):
    assert presets.load(presets.find(name)) != Config()


def test_the_main_job_is_shipped():
    assert "grasp_cube" in SHIPPED
    assert presets.parse("grasp_cube", []).env.name == "grasp/cube"


def test_a_preset_is_found_by_bare_name_by_file_name_and_by_path(write):
    shipped = resources.configs() / "grasp_cube.yaml"
    assert presets.find("grasp_cube") == presets.find("grasp_cube.yaml") == shipped
    assert presets.find("configs/grasp_cube.yaml").samefile(shipped)
    own = write("seed: 3")
    assert presets.load(presets.find(str(own))).seed == 3


def test_a_bare_name_works_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert presets.find("grasp_cube").is_file()
    assert presets.find("configs/grasp_cube.yaml").is_file()


def test_an_unknown_preset_lists_the_nearest():
    with pytest.raises(ConfigError, match=r"'grasp_cub'.*grasp_cube"):
        presets.find("grasp_cub")
    with pytest.raises(ConfigError, match="no such file"):
        presets.find("elsewhere/grasp_cube.yaml")


def test_an_empty_file_means_the_defaults(write):
    assert presets.load(write("")) == Config()
    assert presets.load(write("# nothing\n")) == Config()


def test_scientific_notation_without_a_point_is_a_number(write):
    # YAML 1.1 reads 3e-4 as text
    assert presets.load(write("agent: {learning_rate: 3e-4}")).agent.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("learner: {batch_sise: 3}", r"learner\.batch_sise: there is no such field. Nearest: batch_size"),
        ("agent: {critic: {bin: 3}}", r"agent\.critic\.bin: there is no such field. Nearest: bins"),
        ("seeed: 3", r"seeed: there is no such field. Nearest: seed"),
        ("learner: {batch_size: many}", r"learner\.batch_size is 'many': .*integer"),
        ("learner: {batch_size: 0}", r"learner\.batch_size is 0: .*greater than or equal to 1"),
        ("learner: {batch_size: 2.5}", r"learner\.batch_size is 2\.5: .*integer"),
        ("agent: {discount: 1}", r"agent\.discount is 1: .*less than 1"),
        ("agent: {learning_rate: .nan}", r"agent\.learning_rate is nan: .*finite"),
        ("agent: {kind: ppo}", r"agent\.kind is 'ppo': .*'sac'"),
        ("agent: {critic: {combine: median}}", r"agent\.critic\.combine is 'median': .*'mean' or 'min'"),
        ("env: grasp/cube", r"env is 'grasp/cube': "),
        ("[1, 2]", r"\(the whole file\)"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(write, text, named):
    path = write(text)
    with pytest.raises(ConfigError, match=named) as raised:
        presets.load(path)
    assert str(path) in str(raised.value)


def test_all_wrong_fields_are_named_at_once(write):
    with pytest.raises(ConfigError, match=r"(?s)seed is -1.*env_steps is 0"):
        presets.load(write("seed: -1\nenv_steps: 0"))


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe\x00", b"a: b: c"])
def test_what_is_no_yaml_is_refused_by_name(tmp_path, content):
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        presets.load(path)


def test_dotted_flags_override_the_preset(write):
    path = str(write("learner: {batch_size: 64}\nseed: 4"))
    config = presets.parse(
        path,
        ["--learner.batch-size", "512", "--agent.critic.loss", "mse", "--env-steps=77", "--learner.max-lead-env-steps",
         "None", "--agent.learning-rate", "1e-3", "--agent.no-scale-rewards"],
    )  # fmt: skip
    assert (config.learner.batch_size, config.seed, config.env_steps) == (512, 4, 77)
    assert config.agent.critic.loss == "mse"
    assert config.learner.max_lead_env_steps is None
    assert config.agent.learning_rate == 1e-3
    assert config.agent.scale_rewards is False
    assert presets.parse(path, []) == presets.load(presets.find(path))


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [("--learner.batch-size", "-5", "greater than or equal to 1"), ("--agent.discount", "1.5", "less than 1"),
     ("--seed", "-1", "greater than or equal to 0"), ("--learner.batch-size", "many", "INT")],
)  # fmt: skip
def test_flags_out_of_range_are_refused_by_name(write, capsys, flag, value, allowed):
    # tyro prints the refusal itself where it builds the section, and leaves the rest to `validate`
    with pytest.raises((ConfigError, SystemExit)) as raised:
        presets.parse(str(write("")), [flag, value])
    said = str(raised.value) + capsys.readouterr().err
    assert flag.split(".")[-1].strip("-").replace("-", "_") in said.replace("-", "_")
    assert value in said
    assert allowed in " ".join(said.replace("│", " ").split())


def test_an_unknown_flag_ends_the_program_with_a_suggestion(write, capsys):
    with pytest.raises(SystemExit, match="2"):
        presets.parse(str(write("")), ["--learner.batch-sise", "5"])
    assert "batch-size" in "".join(capsys.readouterr())


def test_help_shows_every_field(write, capsys):
    with pytest.raises(SystemExit, match="0"):
        presets.parse(str(write("")), ["--help"])
    shown = capsys.readouterr().out
    for flag in ("--agent.critic.sigma-to-width", "--checkpoint.keep-best", "--actor-network.width"):
        assert flag.removeprefix("--").split(".")[-1] in shown


def test_the_value_of_a_flag_is_taken_out():
    for arguments in (["a", "--run", "x", "b"], ["a", "--run=x", "b"]):
        assert presets.flag_value(arguments, "--run") == "x"
        assert arguments == ["a", "b"]
    arguments = ["--runs", "x"]
    assert presets.flag_value(arguments, "--run") is None
    assert arguments == ["--runs", "x"]
    with pytest.raises(ConfigError, match="--run needs a value"):
        presets.flag_value(["--run"], "--run")
