"""Which blocks come next: those of the newest checkpoint first, the backlog after. Pure: no files, no clock."""

import heapq
from collections.abc import Iterable

from robo_rl.fleet.blocks import Block


def due_steps(steps: Iterable[int], policy_every: int, every: int, is_final: bool) -> list[int]:
    """The steps to judge when only every `every`-th checkpoint is, ascending.

    Counted in the run's checkpoint interval `policy_every` (environment steps), not in the list: so neither new
    checkpoints nor retention change which are due. The last step of a run that is over (`is_final`) is always due.
    """
    ordered = sorted(steps)
    last = ordered[-1:] if is_final else []
    return [step for step in ordered if (step // policy_every) % every == 0 or step in last]


class Backlog:
    """Blocks that wait; adding and taking cost O(log n), dropping a checkpoint nothing."""

    def __init__(self) -> None:
        """Empty."""
        self._heap: list[tuple[int, int, Block]] = []
        self._policies: dict[int, str] = {}
        self._added = 0

    def add(self, blocks: Iterable[Block]) -> None:
        """Let `blocks` wait; within a checkpoint in this order. Merging comes before anything else: it is quick."""
        for block in blocks:
            self._policies[block.step] = block.policy
            priority = -block.step if block.index is not None else -(2**62)
            heapq.heappush(self._heap, (priority, self._added, block))
            self._added += 1

    def take(self) -> Block | None:
        """The next block, which then waits no more; None if there is none."""
        return None if self.is_empty() else heapq.heappop(self._heap)[2]

    def drop(self, step: int) -> None:
        """Forget the blocks of a checkpoint that is gone; merging what was evaluated of it stays."""
        self._policies.pop(step, None)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        while self._heap and not self._is_wanted(self._heap[0][2]):
            heapq.heappop(self._heap)
        return not self._heap

    def _is_wanted(self, block: Block) -> bool:
        return block.index is None or self._policies.get(block.step) == block.policy
