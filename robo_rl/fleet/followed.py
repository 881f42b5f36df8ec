"""One run as a fleet sees it: which checkpoints there are, which blocks of them are open, and what is pinned."""

import time
from typing import Any

from robo_rl.checkpoints.hashes import HASHES, item_digest
from robo_rl.checkpoints.layout import POLICY
from robo_rl.checkpoints.pins import may_be_pinned, pin, release
from robo_rl.checkpoints.remote import is_whole
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.files import is_remote, names_in, read_json
from robo_rl.fleet.blocks import Block, finished_blocks, open_suite, row_file, variation_folder
from robo_rl.fleet.schedule import Backlog, due_steps
from robo_rl.fleet.suite import Suite, run_config

TRAINER_ABSENT_SECONDS = 60.0
"""A run whose trainer was killed counts as over when nobody has resumed it for so long."""

REMOTE_POLL_SECONDS = 5.0
"""Pause between looks at a run in an object store (s): each look is a handful of requests over a network."""


class FollowedRun:
    """The state of one run; all of it can be found again in the run's files."""

    def __init__(self, run: RunFolder, suite: Suite, every: int) -> None:
        """Nothing is read yet but the config; call `poll`, under `fleet_lock`.

        Raises:
            UserError: no run folder, or it cannot be written.
            ConfigError: the suite is for another task, or has changed since it was used here; or as `run_config`.
        """
        self.run, self._every = run, every
        self.suite = open_suite(run, suite)
        self.backlog = Backlog()
        self.unreadable: dict[int, str] = {}
        self._policy_every = run_config(run).checkpoint.policy_every
        self._known: dict[int, str] = {}
        self._scheduled: set[int] = set()
        self._open: dict[tuple[int, str], set[int]] = {}
        self._pinned: set[int] = set()
        self._is_remote = is_remote(run.path)
        self._last_look = -REMOTE_POLL_SECONDS
        self._said: dict[str, Any] = {}
        self._last_sign_of_trainer = time.monotonic()

    def poll(self, at_once: bool = False) -> None:
        """Find checkpoints that came and went. The cost is one listing, and work for those that changed.

        A remote run is looked at every REMOTE_POLL_SECONDS, however often this is called, unless `at_once`.
        """
        now = time.monotonic()
        if self._is_remote and not at_once and now - self._last_look < REMOTE_POLL_SECONDS:
            return
        self._last_look = now
        # Before the listing: when training says that it has ended, its last checkpoint is there.
        self._hear_trainer()
        there = {int(name) for name in names_in(self.run.checkpoints) if name.isdecimal()}
        for step in self._known.keys() - there:
            self.forget(step)
        for step in there - self._known.keys():
            if is_whole(self.run.checkpoints / str(step)):
                self._meet(step)
        due = due_steps(self._known.keys() - self.unreadable.keys(), self._policy_every, self._every, self.is_over())
        for step in due:
            if step not in self._scheduled and (self._is_remote or may_be_pinned(self.run.checkpoints, step)):
                self._schedule(step)

    def has_checkpoints(self) -> bool:
        """Whether any checkpoint was there at the last `poll`."""
        return bool(self._known)

    def next_block(self) -> Block | None:
        """The next block to hand out, its checkpoint pinned; None if nothing waits."""
        while (block := self.backlog.take()) is not None:
            if block.index is None or block.step in self._pinned:
                return block
            # In an object store nobody of ours deletes checkpoints
            if self._is_remote or pin(self.run.checkpoints, self._pinned | {block.step}, block.step):
                self._pinned.add(block.step)
                return block
            # On its way out. A later poll takes it up again if it stays: the save that would replace it may fail.
            self._drop(block.step)
            self._scheduled.discard(block.step)
        return None

    def completed(self, block: Block) -> None:
        """A block's file is there: with a variation's last, merging it is due; with the last of all, the pin goes."""
        if block.index is None:
            return
        still_open = self._open.get((block.step, block.variation))
        if still_open is None:  # the checkpoint went while its last blocks were played
            return
        still_open.discard(block.index)
        if still_open:
            return
        del self._open[block.step, block.variation]
        self.backlog.add([block._replace(index=None)])
        if not any((block.step, variation) in self._open for variation in self.suite.variations):
            self._unpin(block.step)

    def give_back(self, block: Block) -> None:
        """The worker at this block died: the block waits again."""
        if block.index is None or (block.step, block.variation) in self._open:
            self.backlog.add([block])

    def forget(self, step: int) -> None:
        """A checkpoint was removed or replaced; if a step of that number is there at the next poll, it is a new one."""
        self._drop(step)
        self._known.pop(step, None)
        self._scheduled.discard(step)

    def give_up(self, step: int, reason: str) -> None:
        """A checkpoint is there and cannot be judged: leave it alone until the fleet is started again."""
        self.unreadable[step] = reason
        self._drop(step)

    def is_over(self) -> bool:
        """Whether training has ended: nobody trains here, and the trainer said so or has been gone for long."""
        has_ended = self._said.get("state") in ("finished", "stopped", "failed")
        silent = time.monotonic() - self._last_sign_of_trainer
        return not self.run.is_running() and (has_ended or silent > TRAINER_ABSENT_SECONDS)

    def progress(self) -> dict[str, Any]:
        """How far judging is: newest checkpoint, how many are judged whole, blocks still to do, and those given up."""
        open_steps = {step for step, _ in self._open}
        return {
            "newest": max(self._known, default=None),
            "judged": len(self._scheduled - open_steps - self.unreadable.keys()),
            "open_checkpoints": len(open_steps),
            "open_blocks": sum(map(len, self._open.values())),
            "unreadable": sorted(self.unreadable),
        }

    def _hear_trainer(self) -> None:
        """Read what training says of itself; a sign of it is a lock that is held, or new words."""
        said: dict[str, Any] = self.run.status() or {"state": "finished"}
        if self.run.is_running() or said != self._said:
            self._last_sign_of_trainer = time.monotonic()
        self._said = said

    def close(self) -> None:
        """Let go of every pin."""
        if self._pinned:
            self._pinned.clear()
            self._release()

    def _meet(self, step: int) -> None:
        """Take note of a checkpoint that came; one of which nobody can tell what it holds is not judged."""
        folder = self.run.checkpoints / str(step)
        digest = item_digest(folder, POLICY)
        if digest is not None:
            self._known[step] = digest
            self.unreadable.pop(step, None)  # of a step by that number that was removed since
        elif is_whole(folder):  # asked again, since retention may have taken it in between
            self._known[step] = "unreadable"
            self.unreadable[step] = (
                f"{folder / HASHES} is damaged, or lists no file of {POLICY!r}. Copy it here again, or move {folder} "
                "away."
            )

    def _schedule(self, step: int) -> None:
        """Let the blocks of a new checkpoint wait, except those whose files are there already."""
        self._scheduled.add(step)
        waiting: list[Block] = []
        for variation in self.suite.variations:
            whole = Block(str(self.run.path), step, self._known[step], variation, None)
            finished = finished_blocks(variation_folder(self.suite, whole))
            missing = [index for index in range(self.suite.blocks) if index not in finished]
            if missing:
                self._open[step, variation] = set(missing)
                waiting.extend(whole._replace(index=index) for index in missing)
            elif not _is_merged(self.suite, whole):
                waiting.append(whole)
        self.backlog.add(waiting)

    def _drop(self, step: int) -> None:
        self.backlog.drop(step)
        for variation in self.suite.variations:
            self._open.pop((step, variation), None)
        self._unpin(step)

    def _unpin(self, step: int) -> None:
        if step in self._pinned:
            self._pinned.discard(step)
            self._release()

    def _release(self) -> None:
        if not self._is_remote:
            release(self.run.checkpoints, self._pinned)


def _is_merged(suite: Suite, whole: Block) -> bool:
    file = row_file(suite, whole)
    return file.exists() and read_json(file)["episodes"] == suite.episodes
