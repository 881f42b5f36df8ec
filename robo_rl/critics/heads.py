"""The table of value heads: what `critic.loss` may be. A new head is its file, its test, and one line here."""

from collections.abc import Callable, Mapping

from robo_rl.config import CriticConfig, HeadConfig
from robo_rl.critics import c51, hl_gauss, huber, log_loss, mse, quantile, softmax_mse, symexp_two_hot, two_hot
from robo_rl.critics.head import ValueHead
from robo_rl.errors import ConfigError, nearest

HEADS: Mapping[str, Callable[[HeadConfig, float, float], ValueHead]] = {
    "mse": mse.from_config,
    "huber": huber.from_config,
    "two_hot": two_hot.from_config,
    "c51": c51.from_config,
    "hl_gauss": hl_gauss.from_config,
    "quantile": quantile.from_config,
    "softmax_mse": softmax_mse.from_config,
    "log_loss": log_loss.from_config,
    "symexp_two_hot": symexp_two_hot.from_config,
}


def make_head(config: HeadConfig, value_range: tuple[float, float] | None = None) -> ValueHead:
    """The value head that `config.loss` names, over `value_range` if it has a support.

    Without a range, an ensemble's config means [-v_max, v_max].

    Raises:
        ConfigError: no head has that name, or the head's fields do not fit together.
        TypeError: no range, and a config without `v_max`.
    """
    if config.loss not in HEADS:
        raise ConfigError(
            f"critic.loss is {config.loss!r}; allowed: {', '.join(HEADS)}. "
            f"Did you mean {nearest(config.loss, HEADS, count=1)[0]!r}?"
        )
    if value_range is None:
        if not isinstance(config, CriticConfig):
            raise TypeError(f"make_head needs a value_range for a {type(config).__name__}, which has no v_max")
        value_range = (-config.v_max, config.v_max)
    return HEADS[config.loss](config, *value_range)


def unread_fields(config: HeadConfig) -> frozenset[str]:
    """The fields of the head that its loss makes nothing of, such as `bins` under `mse`.

    Found by trial: with another value of it the head is the same. Configs that differ in these alone train to the same
    weights, to the last bit.

    Raises:
        ConfigError: as `make_head`.
    """
    head = make_head(config, (-1.0, 1.0))
    values = config.model_dump(include=set(HeadConfig.model_fields) - {"loss"})
    others = {name: value + 2 if isinstance(value, int) else 0.9 * value for name, value in values.items()}
    return frozenset(
        name
        for name, other in others.items()
        if make_head(config.model_copy(update={name: other}), (-1.0, 1.0)) == head
    )
