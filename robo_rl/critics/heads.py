"""The table of value heads: what `critic.loss` may be. A new head is its file, its test, and one line here."""

from collections.abc import Callable, Mapping

from robo_rl.config import CriticConfig
from robo_rl.critics import c51, hl_gauss, huber, log_loss, mse, quantile, softmax_mse, symexp_two_hot, two_hot
from robo_rl.critics.head import ValueHead
from robo_rl.errors import ConfigError, nearest

HEADS: Mapping[str, Callable[[CriticConfig], ValueHead]] = {
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


def make_head(config: CriticConfig) -> ValueHead:
    """The value head that `config.loss` names.

    Raises:
        ConfigError: no head has that name, or the head's fields do not fit together.
    """
    if config.loss not in HEADS:
        raise ConfigError(
            f"critic.loss is {config.loss!r}; allowed: {', '.join(HEADS)}. "
            f"Did you mean {nearest(config.loss, HEADS, count=1)[0]!r}?"
        )
    return HEADS[config.loss](config)
