import pytest

from robo_rl.compare import names


def test_losses_are_called_as_people_write_them():
    assert [names.loss_name(loss) for loss in ("mse", "hl_gauss", "two_hot")] == ["MSE", "HL-Gauss", "Two-Hot"]


def test_a_new_loss_keeps_its_own_name():
    assert names.loss_name("my_loss") == "my_loss"


def test_groups_and_tasks_are_called_shortly():
    assert names.group_name("hl_gauss", {}) == "HL-Gauss"
    assert names.group_name("mse", {"agent.critic_network.width": 64, "a.b_c": 0.5}) == "MSE at width 64, b c 0.5"
    assert names.task_name("suite/cheetah-run") == "cheetah-run"
    assert names.task_name("grasp/cube") == "grasp/cube"


def test_axes_with_the_same_last_part_are_told_apart():
    axes = {"agent.actor_network.width": 64, "agent.critic_network.width": 128, "seed": 1}
    assert names.axes_name(axes) == "actor network width 64, critic network width 128, seed 1"


def test_a_reference_is_a_loss_or_the_first_setting_of_the_same_loss():
    def reference(loss, axes):
        return names.reference_name({"loss": loss, "reference": {"loss": "mse", "axes": axes}})

    assert reference("c51", {}) == "MSE"
    assert reference("c51", {"a.width": 64}) == "MSE at the same setting"
    assert reference("mse", {"a.width": 64}) == "width 64"


@pytest.mark.parametrize(
    ("value", "name"), [(True, "on"), (False, "off"), (64, "64"), (64.0, "64"), (0.001, "0.001"), ("mlp", "mlp")]
)
def test_values_are_short(value, name):
    assert names.value_name(value) == name


@pytest.mark.parametrize(("parts", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_read_like_sentences(parts, text):
    assert names.listed(parts) == text
