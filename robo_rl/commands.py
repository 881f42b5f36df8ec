"""What each command of `robo-rl` does: call one function, print. Heavy imports wait until a command needs them."""

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

from robo_rl.errors import UserError

EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


def train(options: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl train CONFIG [--run DIR] [--record DIR] [--FIELD VALUE ...]`."""
    from robo_rl import presets
    from robo_rl.checkpoints.layout import committed_steps
    from robo_rl.checkpoints.run_folder import RunFolder
    from robo_rl.metrics.progress import Progress

    if options.help:
        print("usage: robo-rl train CONFIG [--run DIR] [--record DIR] [--FIELD VALUE ...]\n\nEvery field is a flag:\n")
        presets.parse(options.config or "grasp_cube", ["--help"])
    if options.config is None:
        raise UserError("train needs a CONFIG: a preset by name (grasp_cube) or a YAML file.")
    if options.record is not None:
        flags = [*flags, "--data.record", options.record]
    config = presets.parse(options.config, flags)
    run = RunFolder(options.run or Path("runs") / Path(options.config).stem)

    # In the local runtime it is the evaluator's own process that films.
    choose_gl(config.env, films=config.runtime == "inline" and config.evaluation.enabled and config.evaluation.video)
    if config.runtime == "inline":
        from robo_rl.runtimes import inline as runtime
    else:
        from robo_rl.runtimes import local as runtime

    stop = StopOnSignal()
    with Progress(config.env_steps, run.path.name) as progress:
        runtime.train(config, run, Display(progress), stop)
    if stop():
        step = max(committed_steps(run.checkpoints), default=0)
        print(f"Stopped; {step} environment steps stand in {run.checkpoints}, and the same command goes on from there.")
        return 0
    return summarize(run)


def choose_gl(*environments: Any, films: bool = False) -> None:
    """Set MUJOCO_GL before MuJoCo is imported: off, unless one of the environments (EnvConfig) or a film is drawn.

    Raises:
        UserError: something is to be drawn, and this machine cannot.
    """
    from robo_rl.envs import needs_renderer
    from robo_rl.render import gl_backend

    os.environ["MUJOCO_GL"] = gl_backend(films or any(needs_renderer(environment) for environment in environments))


def prepare_file(flag: str, file: Path, suffix: str) -> None:
    """Make the folder of a file, or refuse it, before the work whose result it is to hold.

    Raises:
        UserError: it has another suffix, it is a folder, or its own folder cannot be made.
    """
    if suffix and file.suffix != suffix:
        raise UserError(f"{flag} is {file}: its name must end in {suffix}.")
    if file.is_dir():
        raise UserError(f"{flag} is {file}, which is a folder. Name a file in it.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} is {file}, and its folder cannot be made: {error}. Choose another file.") from error


def summarize(run: Any) -> int:
    """Print how the last checkpoint did and how to look at it."""
    records = run.evaluation_records()
    if records:
        step = max(records)
        print(f"\nLast checkpoint, {step} environment steps: {describe(records[step])}")
    print(f"Everything is in {run.path}. To see it: robo-rl evaluate {os.path.relpath(run.path)} --video policy.mp4")
    return 0


def describe(record: dict[str, Any]) -> str:
    """One line on an evaluation: success and return, each with its 95 % interval and the number of episodes."""
    value, success = record["return"], record["success"]
    text = f"return {value['mean']:.1f} [{value['low']:.1f}, {value['high']:.1f}]"
    if success is not None:
        text = f"success {success['rate']:.1%} [{success['low']:.1%}, {success['high']:.1%}], {text}"
    return f"{text} over {len(record['episodes'])} episodes"


def compare(options: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl compare CONFIG [--run DIR] [--jobs N] [--report-only] [--FIELD VALUE ...]`."""
    # This process only plans and watches: an accelerator is for those that train the cells.
    accelerator = {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "")}
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("MUJOCO_GL", "disabled")
    from robo_rl.compare import inputs
    from robo_rl.compare.command import compare_command

    if options.help:
        print("usage: robo-rl compare CONFIG [--run DIR] [--jobs N] [--report-only] [--FIELD VALUE ...]\n")
        print("--report-only trains nothing and reports what is there. Every field is a flag:\n")
        print(inputs.help_text())
        return 0
    if options.config is None:
        raise UserError("compare needs a CONFIG: a preset by name (compare_losses) or a YAML file.")
    return compare_command(
        options.config, options.run, options.jobs, flags, accelerator, StopOnSignal, options.report_only
    )


def evaluate(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl evaluate CHECKPOINT|RUN|policy.zip [--episodes N] [--episode-seed S] [--video FILE] [--json FILE]`."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from robo_rl.evaluation import config_of, evaluate_checkpoint
    from robo_rl.files import require_reachable, write_json_atomic

    for flag, file, suffix in (("--video", options.video, ".mp4"), ("--json", options.json, "")):
        if file is not None:
            prepare_file(flag, file, suffix)
    require_reachable(options.checkpoint)
    choose_gl(config_of(options.checkpoint).env, films=options.video is not None)

    scenario = None
    if (options.suite is None) != (options.variation is None):
        raise UserError("--suite and --variation go together: which suite, and which of its variations.")
    if options.suite is not None:
        from robo_rl.fleet.suite import load_suite, scenario_of

        scenario = scenario_of(load_suite(options.suite), options.variation)
    record = evaluate_checkpoint(options.checkpoint, options.episodes, options.episode_seed, options.video, scenario)
    print(f"{record['env']}, checkpoint {record['checkpoint']}: {describe(record)}")
    for name, (successes, count) in record["success_by_kind"].items():
        print(f"  {name:12} {successes:4d} of {count}")
    if options.json is not None:
        write_json_atomic(options.json, record)
    return 0


def export(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl export CHECKPOINT|RUN policy.zip`."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("MUJOCO_GL", "disabled")
    from robo_rl.evaluation import locate
    from robo_rl.export.policy import export_checkpoint
    from robo_rl.files import require_reachable

    require_reachable(options.checkpoint)
    record = export_checkpoint(*locate(options.checkpoint), options.file)["evaluation"]
    judged = "never evaluated" if record is None else describe(record)
    print(f"{options.file}: {options.file.stat().st_size / 1e6:.2f} MB, {judged}")
    print(f"To see it: robo-rl evaluate {options.file} --video policy.mp4")
    return 0


def fleet(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl fleet RUN... [--workers N] [--suite NAME] [--follow|--once|--stop-when-done] [--report]`."""
    # The coordinator loads modules that import JAX and MuJoCo; neither may take hold of a device or a screen.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("MUJOCO_GL", "disabled")
    from robo_rl.fleet.command import fleet_command

    return fleet_command(
        options.runs,
        suite_name=options.suite,
        workers=options.workers,
        mode=options.mode,
        every=options.every,
        with_report=options.report,
        with_parquet=options.parquet,
        listen=StopOnSignal,
    )


def promote(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl promote RUN [--suite NAME] [--dry-run]`."""
    from robo_rl.checkpoints.run_folder import RunFolder
    from robo_rl.fleet.promote import promote

    decision = promote(RunFolder(options.run), options.suite, options.dry_run)
    moves = "would move" if options.dry_run else "moved"
    stays = "would stay" if options.dry_run else "stays"
    print(f"best {moves if decision.promotes else stays}: {decision.reason}")
    print(
        f"step {decision.candidate.step}: mean score {decision.mean:.4g} over {decision.episodes} episodes of evidence"
    )
    return 0


def plasticity(options: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl plasticity [--run DIR] [--FIELD VALUE ...]`."""
    import tyro

    from robo_rl.compare.plasticity import PlasticityConfig
    from robo_rl.compare.plasticity_report import run_plasticity

    config = tyro.cli(PlasticityConfig, args=flags, prog="robo-rl plasticity [--run DIR]")
    print("Mean squared error at the end of each target; 0.5 is that of a network that learned b alone.")
    run_plasticity(config, options.run, lambda text: print(text, flush=True))
    print(f"Every number is in {options.run / 'plasticity.csv'}, the picture in {options.run / 'plasticity.png'}.")
    return 0


def data_record(_: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl data record --out DIR --episodes N [--env.name NAME] [--policy P] [--noise X] [--workers W] ...`."""
    # The workers act on CPU cores; they, and this process, leave accelerators alone.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from robo_rl.recording.record import record
    from robo_rl.recording.settings import parse

    config = parse(flags)
    choose_gl(config.env)
    stop = StopOnSignal()
    done = record(config, lambda count, _: print(f"{count} of {config.episodes} episodes", flush=True), stop)
    kept = f"{config.out} holds {done.episodes} episodes; this call added {done.added} ({done.steps} control steps)"
    print(f"{kept}. To see them: robo-rl data info {config.out}")
    if done.episodes < config.episodes:
        print("Stopped. All of them are complete; the same command records the rest.")
        return EXIT_INTERRUPTED
    return 0


def data_info(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl data info DIR [--frames FILE]`."""
    if options.frames is not None:
        prepare_file("--frames", options.frames, ".png")
    from robo_rl.data.reader import EpisodeSource
    from robo_rl.recording.info import describe_dataset

    source = EpisodeSource(options.folder)
    choose_gl(films=options.frames is not None and not source.has_pictures)
    print(describe_dataset(source))
    if options.frames is not None:
        from robo_rl.data.frames import example_frames, write_montage

        number, frames = example_frames(source)
        write_montage(options.frames, frames)
        print(f"{options.frames}: start, middle and end of episode {number}")
    return 0


def data_convert(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl data convert SRC OUT`."""
    from robo_rl.data.convert import convert

    count = convert(options.source, options.out)
    print(f"{options.out}: {count} episodes. To see them: robo-rl data info {options.out}")
    return 0


def status(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl status RUN`."""
    from robo_rl.files import require_reachable
    from robo_rl.status import print_status

    require_reachable(options.run)
    return print_status(options.run)


def doctor(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl doctor`."""
    from robo_rl.doctor import print_report

    return print_report()


class StopOnSignal:
    """The first Ctrl-C or SIGTERM asks for a checkpoint and a clean end; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        """Take over both signals."""
        self._asked = False
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked

    def _interrupt(self, number: int, frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def _terminate(self, number: int, frame: Any) -> None:
        self._asked = True


class Display:
    """Turns what a runtime reports into rows and notes of the progress display."""

    def __init__(self, progress: Any) -> None:
        """Show on `progress`."""
        self._progress = progress

    def __call__(self, kind: str, what: Any) -> None:
        """One report, as `roles.journal.Report` describes it."""
        if kind in ("row", "alive"):
            self._progress.update(what)
        elif kind == "checkpoint":
            self._progress.update({"checkpoint_env_steps": what})
        elif kind == "evaluation":
            row = {"evaluation_env_steps": what["checkpoint"], "evaluation_return": what["return"]["mean"]}
            if what["success"] is not None:
                row["evaluation_success"] = what["success"]["rate"]
                row["evaluation_success_low"] = what["success"]["low"]
                row["evaluation_success_high"] = what["success"]["high"]
            self._progress.update(row)
            self._progress.note(f"checkpoint {what['checkpoint']}: {describe(what)}")
        elif kind == "note":
            self._progress.note(what)
        else:
            raise ValueError(f"nobody shows reports of kind {kind!r}: {json.dumps(what, default=str)}")
