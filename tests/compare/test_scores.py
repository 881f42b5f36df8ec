import pytest

from robo_rl.compare.scores import Group, Score, axis_value, largest, normalised, read_scores
from robo_rl.errors import UserError

HEADER = "loss,task,seed,env_steps,return,success,agent.critic_network.width"
GOOD = "mse,suite/cheetah-run,3,1000,512.5,,256"


def read(path, *lines, header=HEADER):
    path.write_text("\n".join([header, *lines]) + "\n")
    return read_scores(path, ["agent.critic_network.width"], ["mse", "hl_gauss"], ["suite/cheetah-run", "grasp/cube"])


def test_a_row_becomes_a_score_with_the_axes_in_its_group(tmp_path):
    group = Group("mse", (("agent.critic_network.width", 256),))
    grasp = "hl_gauss,grasp/cube,3,1000,8.25,0.75,64"
    scores = read(tmp_path / "scores.csv", GOOD, grasp)
    assert scores[0] == Score(group, "suite/cheetah-run", 3, 1000, 512.5, None)
    assert scores[1].success == 0.75


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("huber,suite/cheetah-run,3,1000,512.5,,256", "loss 'huber' is not of this comparison"),
        ("mse,suite/walker-run,3,1000,512.5,,256", "task 'suite/walker-run'"),
        ("mse,suite/cheetah-run,-3,1000,512.5,,256", "seed is '-3'"),
        ("mse,suite/cheetah-run,3,1e3,512.5,,256", "env_steps is '1e3'"),
        ("mse,suite/cheetah-run,3,1000,nan,,256", "return is nan"),
        ("mse,suite/cheetah-run,3,1000,,,256", "return is ''"),
        ("mse,suite/cheetah-run,3,1000,512.5,1.2,256", "success is 1.2"),
        ("mse,suite/cheetah-run,3,1000", "not as many cells"),
        (f"{GOOD},more", "not as many cells"),
        (GOOD.replace("512.5", "500"), "an earlier line gives another score"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, line, complaint):
    with pytest.raises(UserError, match="line 3: ") as error:
        read(tmp_path / "scores.csv", GOOD, line)
    assert complaint in str(error.value)


def test_a_row_that_says_the_same_again_counts_once(tmp_path):
    assert len(read(tmp_path / "scores.csv", GOOD, GOOD)) == 1


def test_a_missing_file_or_column_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_scores(tmp_path / "none.csv", [], ["mse"], [])
    with pytest.raises(UserError, match=r"lacks the columns agent\.critic_network\.width"):
        read(tmp_path / "scores.csv", header="loss,task,seed,env_steps,return,success")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("256", 256), ("64.0", 64), ("1e-05", 1e-5), ("True", True), ("true", True), ("None", None), ("relu", "relu"),
        (0.1, 0.1), ("", ""),
    ],
)  # fmt: skip
def test_an_axis_value_is_the_same_from_a_csv_cell_and_from_json(written, value):
    assert axis_value(written) == value
    hash(axis_value(written))


def test_scores_come_on_a_common_scale():
    def score(task, value, success):
        return Score(Group("mse"), task, 0, 1, value, success)

    assert normalised(score("suite/cheetah-run", 512.5, None)) == 0.5125
    assert normalised(score("grasp/cube", 8.0, 0.75)) == 0.75
    with pytest.raises(ValueError, match="neither a success rate nor a known largest return"):
        normalised(score("mine/other", 3.0, None))
    assert [largest(score(task, 3.0, None)) for task in ("mine/other", "suite/lqr-lqr_2_1", "suite/x")] == [
        None,
        None,
        1000.0,
    ]
