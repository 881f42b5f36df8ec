from robo_rl import cli
from robo_rl.data.reader import EpisodeSource
from robo_rl.recording.info import describe_dataset
from tests.data.parts import toy_episodes, write


def test_info_says_what_a_person_wants_to_know(tmp_path):
    episodes = toy_episodes(5)
    text = describe_dataset(EpisodeSource(write(tmp_path, episodes, policy="random", noise=0.5)))
    assert f"5 episodes, {sum(episode.length for episode in episodes)} control steps" in text
    rate = sum(bool(episode.success) for episode in episodes) / 5
    assert f"success {rate:.1%} [" in text
    for part in ("policy: random", "noise: 0.5", "toy/reach", "observation/position", "float32[2] m in [-1, 1]"):
        assert part in text


def test_the_command_prints_it_and_refuses_what_is_none(tmp_path, capsys):
    write(tmp_path / "data", toy_episodes(2))
    assert cli.main(["data", "info", str(tmp_path / "data")]) == 0
    assert "2 episodes" in capsys.readouterr().out
    assert cli.main(["data", "info", str(tmp_path)]) == cli.EXIT_BAD_INPUT
    assert "is no data set" in capsys.readouterr().err
