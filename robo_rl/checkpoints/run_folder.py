"""The folder of one run: what lies where, who may write it, and whether it holds the same experiment."""

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pydantic
import yaml

from robo_rl.checkpoints.hashes import find_damage
from robo_rl.checkpoints.layout import META, RUN, committed_steps, remove_later, remove_unfinished, restorable_steps
from robo_rl.checkpoints.locks import exclusive, is_held
from robo_rl.checkpoints.manifest import differences, environment_manifest
from robo_rl.checkpoints.pins import pins_folder
from robo_rl.config import Config
from robo_rl.errors import CheckpointError, ConfigError, UserError
from robo_rl.files import as_path, is_remote, read_json, write_json_atomic
from robo_rl.specs import EnvSpec

MAY_CHANGE = (
    "env_steps",
    "log_every",
    "checkpoint",
    "evaluation",
    "actor.processes",
    "actor.max_restarts",
    "data.record",
)
"""Fields in which a resumed run may differ from the one that began it; all others make it another experiment."""

TEMPORARIES = (
    "config.yaml.tmp",
    ".manifest.json.*.tmp",
    ".status.json.*.tmp",
    "metrics.*.tmp",
    "evaluations/.[0-9]*.json.*.tmp",
    "videos/.[0-9]*.partial.mp4",
)
"""What a training job that was killed while it wrote can leave. A fleet or a promotion may be writing beside it."""


class RunFolder:
    """Paths of a run, and reading and writing the small files in it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """A run at `path`, which need not exist yet; one in an object store (see `files.as_path`) can be read only."""
        place = as_path(path)
        self.path = place if is_remote(place) else place.absolute()
        self.config_file = self.path / "config.yaml"
        self.manifest_file = self.path / "manifest.json"
        self.checkpoints = self.path / "checkpoints"
        self.evaluations = self.path / "evaluations"
        self.videos = self.path / "videos"
        self.metrics_file = self.path / "metrics.jsonl"
        self.status_file = self.path / "status.json"
        self.lock_file = self.path / "run.lock"

    def begin(self, config: Config, spec: EnvSpec, ignore: Collection[str] = MAY_CHANGE) -> int | None:
        """Make the folder ready for this experiment; the step to resume from, None for a fresh start.

        Call it under `lock`. Leftovers of killed writers are removed, and with them the checkpoints and evaluations
        after the step to resume from, which the resumed run will pass again; for a fresh start all evaluations.

        Raises:
            ConfigError: the folder holds another experiment; every differing field is named.
            CheckpointError: it holds checkpoints, but none that training can be resumed from, or that one is damaged;
                every checkpoint stands then.
            UserError: the folder cannot be written.
        """
        new = config.model_dump(mode="json")
        if self.config_file.exists():
            fields = differences(self._config_with_defaults(), new, ignore)
            if fields:
                raise ConfigError(
                    f"{self.path} holds another experiment. Fields that differ (there -> now):\n  "
                    + "\n  ".join(fields)
                    + "\nGive this one a folder of its own (--run DIR), or start it with the same fields to resume."
                )
        with _writable(self.path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.evaluations.mkdir(exist_ok=True)
            pins_folder(self.checkpoints).mkdir(exist_ok=True)
            remove_unfinished(self.checkpoints)
            for pattern in TEMPORARIES:
                for leftover in self.path.glob(pattern):
                    leftover.unlink(missing_ok=True)
            temporary = self.config_file.with_suffix(".yaml.tmp")
            temporary.write_text(yaml.safe_dump(new, sort_keys=False))
            os.replace(temporary, self.config_file)
            if not self.manifest_file.exists():
                write_json_atomic(
                    self.manifest_file, {"seed": config.seed, "spec": spec.to_json(), **environment_manifest()}
                )
        step = self._step_to_resume_from()
        with _writable(self.path):
            if step is not None:
                remove_later(self.checkpoints, step)
            # A fresh start too: its steps have the numbers of those whose checkpoints were moved away.
            for path in self.evaluations.glob("*.json"):
                if path.stem.isdecimal() and (step is None or int(path.stem) > step):
                    path.unlink()
        return step

    def _step_to_resume_from(self) -> int | None:
        """The newest whole checkpoint, every byte of which is as it was written; None for a fresh start.

        Raises:
            CheckpointError: there are checkpoints of the policy only, or the newest whole one is damaged.
        """
        restorable = restorable_steps(self.checkpoints)
        if committed_steps(self.checkpoints) and not restorable:
            raise CheckpointError(
                f"{self.checkpoints} holds checkpoints of the policy only, and none that training can be resumed from. "
                "Evaluate them as they are, and train in another folder (--run DIR)."
            )
        if not restorable:
            return None
        # Before the later ones are removed: they may be all that is left of the run.
        newest = self.checkpoints / str(restorable[-1])
        damage = _damage(newest)
        if damage is None:
            return restorable[-1]
        good = next((step for step in restorable[-2::-1] if _damage(self.checkpoints / str(step)) is None), None)
        advice = (
            "train in another folder (--run DIR), since no earlier step is good"
            if good is None
            else f"move {newest} away: the run then resumes from step {good}, and removes every checkpoint after that"
        )
        raise CheckpointError(
            f"Training cannot be resumed from step {restorable[-1]}: {damage}. No checkpoint was removed. Bring that "
            f"file back from a copy, or {advice}."
        )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only training job on this folder; the lock goes with the process, however it ends.

        Raises:
            UserError: another process holds it (its id is named), or the folder cannot be written.
        """
        with contextlib.ExitStack() as held:
            with _writable(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(
                    exclusive(
                        self.lock_file,
                        str(os.getpid()),
                        lambda owner: (
                            f"{self.path} is being trained by process {owner}. "
                            "Wait for it, stop it, or choose another folder (--run DIR)."
                        ),
                    )
                )
            yield

    def is_running(self) -> bool:
        """Whether a training job holds the lock now."""
        return is_held(self.lock_file)

    def config(self) -> dict[str, Any]:
        """The resolved configuration of the run.

        Raises:
            UserError: there is none, or it is not YAML: this is no run folder.
        """
        try:
            data = yaml.safe_load(self.config_file.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{self.path} is no run folder: {self.config_file} cannot be read ({error}).") from error
        if not isinstance(data, dict):
            raise UserError(f"{self.path} is no run folder: {self.config_file} holds no configuration.")
        return data

    def _config_with_defaults(self) -> dict[str, Any]:
        """The run's configuration with the defaults of fields that are younger than the run."""
        try:
            return Config.model_validate(self.config()).model_dump(mode="json")
        except pydantic.ValidationError as error:
            names = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors())
            raise ConfigError(
                f"{self.config_file} has fields that this version does not know or allow ({names}): resume with the "
                "version that its manifest.json names, or train in another folder (--run DIR)."
            ) from error

    def write_evaluation(self, step: int, record: dict[str, Any]) -> None:
        """Write `evaluations/STEP.json`, whole or not at all."""
        with _writable(self.evaluations):
            self.evaluations.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self.evaluations / f"{step}.json", record)

    def evaluation_records(self, among: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
        """step -> record of every evaluation so far, or of those `among` these steps; no other is read.

        Raises:
            UserError: a record is not JSON.
        """
        steps = sorted(int(path.stem) for path in self.evaluations.glob("*.json") if path.stem.isdecimal())
        return {step: read_json(self.evaluations / f"{step}.json") for step in steps if among is None or step in among}

    def scores(self) -> dict[int, float]:
        """step -> how good its evaluation was, for the checkpoints there are.

        The success rate where the task knows success, else the mean return.
        """
        # Retention asks at every save; a long run has thousands of evaluations and few checkpoints.
        records = self.evaluation_records(set(committed_steps(self.checkpoints)))
        return {step: score(record) for step, record in records.items()}

    def write_status(self, said: dict[str, Any]) -> None:
        """Write status.json, what the training job says of itself; UserError if the folder cannot be written."""
        with _writable(self.path):
            write_json_atomic(self.status_file, said)

    def status(self) -> dict[str, Any] | None:
        """What the training job last said of itself, None if it never did."""
        try:
            return json.loads(self.status_file.read_text())
        except FileNotFoundError:
            return None


def score(record: dict[str, Any]) -> float:
    """What makes one checkpoint better than another: success where the task knows it, else the mean return."""
    return record["return"]["mean"] if record["success"] is None else record["success"]["rate"]


def _damage(step_folder: Path) -> str | None:
    """What is wrong with what a resume reads of a checkpoint, None if all is well."""
    return find_damage(step_folder, RUN) or find_damage(step_folder, META)


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}). Free space there, or choose another folder "
            "(--run DIR)."
        ) from error
