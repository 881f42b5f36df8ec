import pytest

from robo_rl.config import CriticConfig
from robo_rl.critics import HEADS, make_head
from robo_rl.critics.heads import unread_fields
from robo_rl.errors import ConfigError


def test_an_unknown_loss_lists_what_is_allowed():
    with pytest.raises(ConfigError, match=r"'hlgauss'.*mse, huber, two_hot, c51, hl_gauss, quantile.*mean 'hl_gauss'"):
        make_head(CriticConfig(loss="hlgauss"))


def test_the_default_is_in_the_table():
    assert CriticConfig().loss in HEADS


@pytest.mark.parametrize(
    ("loss", "change"),
    [
        ("huber", {"huber_kappa": 0.5}),
        ("two_hot", {"bins": 51}),
        ("two_hot", {"v_max": 7.0}),
        ("c51", {"bins": 51}),
        ("c51", {"v_max": 7.0}),
        ("hl_gauss", {"bins": 51}),
        ("hl_gauss", {"v_max": 7.0}),
        ("hl_gauss", {"padding_bins": 4}),
        ("hl_gauss", {"sigma_to_width": 0.6}),
        ("quantile", {"quantiles": 25}),
        ("quantile", {"huber_kappa": 0.5}),
    ],
)
def test_every_field_reaches_its_head(loss, change):
    # Fields that are accepted and never used cost a published method its result (traps B9).
    assert make_head(CriticConfig(loss=loss, **change)) != make_head(CriticConfig(loss=loss))


@pytest.mark.parametrize(
    ("loss", "read"),
    [
        ("mse", set()),
        ("log_loss", set()),
        ("huber", {"huber_kappa"}),
        ("quantile", {"quantiles", "huber_kappa"}),
        ("two_hot", {"bins"}),
        ("symexp_two_hot", {"bins"}),
        ("c51", {"bins"}),
        ("hl_gauss", {"bins", "padding_bins", "sigma_to_width"}),
    ],
)
def test_what_a_loss_does_not_read_is_known(loss, read):
    fields = {"bins", "padding_bins", "sigma_to_width", "quantiles", "huber_kappa"}
    assert unread_fields(CriticConfig(loss=loss)) == fields - read
