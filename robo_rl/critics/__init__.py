"""Value heads (critic losses) and return scaling. `make_head` builds the head a configuration names."""

from robo_rl.critics.head import Target, ValueHead, combine
from robo_rl.critics.heads import HEADS, make_head

__all__ = ["HEADS", "Target", "ValueHead", "combine", "make_head"]
