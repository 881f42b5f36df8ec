"""The command `robo-rl`: parse, call one function, print. Heavy imports wait until a command needs them."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_rl.errors import RunFailedError, UserError

EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 fine, 1 the run failed, 2 bad input, 130 interrupted."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in (train, compare, plasticity, data_record):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options, rest)
    except RunFailedError as error:
        print(f"robo-rl: the run failed.\n{error}", file=sys.stderr)
        return EXIT_FAILED
    except UserError as error:
        print(f"robo-rl: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("robo-rl: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command; `train` takes further flags, one for each field of the config."""
    parser = argparse.ArgumentParser(
        prog="robo-rl", description="Robotic manipulation with critics trained by classification."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sub = commands.add_parser(
        "train", help="start, or resume if the run folder holds the same experiment", add_help=False
    )
    sub.add_argument("config", nargs="?", metavar="CONFIG", help="a preset by name, or a YAML file")
    sub.add_argument("--run", metavar="DIR", help="run folder (default: runs/CONFIG)")
    sub.add_argument("--record", metavar="DIR", help="add the actors' episodes to the data set in this folder")
    sub.add_argument("-h", "--help", action="store_true", help="every field of CONFIG, with unit and default")
    sub.set_defaults(command=train)

    sub = commands.add_parser(
        "compare", help="compare losses over tasks and seeds, or go on with a comparison", add_help=False
    )
    sub.add_argument("config", nargs="?", metavar="CONFIG", help="a preset by name, or a YAML file")
    sub.add_argument("--run", metavar="DIR", type=Path, help="folder of the comparison (default: runs/CONFIG)")
    sub.add_argument("--jobs", metavar="N", type=int, default=1, help="cells trained side by side (default: 1)")
    sub.add_argument("-h", "--help", action="store_true", help="every field of a comparison")
    sub.set_defaults(command=compare)

    sub = commands.add_parser("evaluate", help="judge a checkpoint on a fixed list of episode seeds")
    place = "RUN/checkpoints/STEP, or RUN: its newest"
    sub.add_argument(
        "checkpoint", metavar="CHECKPOINT|RUN|policy.zip", type=place_argument, help=f"{place}; or an export"
    )
    sub.add_argument("--episodes", type=int, metavar="N", help="how many episodes (default: those of the config's end)")
    sub.add_argument("--episode-seed", type=int, metavar="S", help="first episode seed (default: the config's)")
    sub.add_argument("--video", type=Path, metavar="FILE", help="write an mp4 of the first episode")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the whole record")
    sub.add_argument("--suite", metavar="NAME|FILE", help="with --variation: judge as this evaluation suite does")
    sub.add_argument("--variation", metavar="NAME", help="a variation of the suite")
    sub.set_defaults(command=evaluate)

    sub = commands.add_parser("export", help="write a policy that runs with jax alone")
    sub.add_argument("checkpoint", metavar="CHECKPOINT|RUN", type=Path, help=place)
    sub.add_argument("file", metavar="policy.zip", type=Path, help="where to write it; replaced if it is there")
    sub.set_defaults(command=export)
    sub = commands.add_parser("fleet", help="judge every committed checkpoint of one or many runs, with many processes")
    sub.add_argument("runs", metavar="RUN", type=place_argument, nargs="+")
    sub.add_argument("--workers", type=int, default=1, metavar="N", help="processes that evaluate (default: 1)")
    sub.add_argument("--suite", metavar="NAME|FILE", help="evaluation suite (default: the shipped one for the task)")
    sub.add_argument("--every", type=int, default=1, metavar="K", help="judge every K-th checkpoint only")
    sub.add_argument("--report", action="store_true", help="also write leaderboard.html and leaderboard.csv")
    sub.add_argument("--parquet", action="store_true", help="with them leaderboard.parquet (the extra parquet)")
    until = sub.add_mutually_exclusive_group()
    until.add_argument("--once", dest="mode", action="store_const", const="once", help="judge what is there (default)")
    until.add_argument("--follow", dest="mode", action="store_const", const="follow", help="until stopped by Ctrl-C")
    until.add_argument(
        "--stop-when-done", dest="mode", action="store_const", const="until_done", help="until training has ended"
    )
    sub.set_defaults(command=fleet, mode="once")

    sub = commands.add_parser(
        "promote", help="move `best` of a run, if the evaluations of a fleet show that it is better"
    )
    sub.add_argument("run", metavar="RUN", type=Path)
    sub.add_argument(
        "--suite", metavar="NAME|FILE", help="decide by this suite (default: the one the run was judged by)"
    )
    sub.add_argument("--dry-run", action="store_true", help="say what would be done, and why")
    sub.set_defaults(command=promote)

    sub = commands.add_parser(
        "plasticity", help="which critic losses can still learn when their targets move; minutes", add_help=False
    )
    sub.add_argument("--run", metavar="DIR", type=Path, default=Path("runs/plasticity"), help="where the result goes")
    sub.set_defaults(command=plasticity)
    data = commands.add_parser("data", help="record, look at and convert data sets of episodes (RLDS)")
    kinds = data.add_subparsers(required=True, metavar="record|info|convert")
    sub = kinds.add_parser("record", help="play episodes with many processes and write them", add_help=False)
    sub.set_defaults(command=data_record)
    sub = kinds.add_parser("info", help="size, episodes, success and spec of a data set")
    sub.add_argument("folder", metavar="DIR", type=Path)
    sub.add_argument("--frames", type=Path, metavar="FILE", help="write three pictures of an episode as a PNG")
    sub.set_defaults(command=data_info)
    sub = kinds.add_parser("convert", help="turn a tfrecord data set into array_record (needs the extra `tf`)")
    sub.add_argument("source", metavar="SRC", type=Path)
    sub.add_argument("out", metavar="OUT", type=Path)
    sub.set_defaults(command=data_convert)

    sub = commands.add_parser("status", help="where a run stands, and who waits for what")
    sub.add_argument("run", metavar="RUN", type=Path)
    sub.set_defaults(command=status)

    sub = commands.add_parser("doctor", help="what this machine can do, and what is missing for what")
    sub.set_defaults(command=doctor)
    return parser


def place_argument(text: str) -> Path:
    """A path given on the command line: local, or in an object store (gs://...)."""
    from robo_rl.files import as_path

    try:
        return as_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def train(options: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl train CONFIG [--run DIR] [--record DIR] [--FIELD VALUE ...]`."""
    from robo_rl import presets
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

    choose_gl(config.env)
    if config.runtime == "inline":
        from robo_rl.runtimes import inline as runtime
    else:
        from robo_rl.runtimes import local as runtime

    stop = StopOnSignal()
    with Progress(config.env_steps, run.path.name) as progress:
        runtime.train(config, run, Display(progress), stop)
    if stop():
        print(f"Stopped. A whole checkpoint stands in {run.checkpoints}; the same command resumes it.")
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


def summarize(run: Any) -> int:
    """Print how the last checkpoint did and how to look at it."""
    records = run.evaluation_records()
    if records:
        step = max(records)
        print(f"\nLast checkpoint, {step} environment steps: {describe(records[step])}")
    print(f"Everything is in {run.path}. To see it: robo-rl evaluate {os.path.relpath(run.path)} --video grasp.mp4")
    return 0


def describe(record: dict[str, Any]) -> str:
    """One line on an evaluation: success and return, each with its 95 % interval and the number of episodes."""
    value, success = record["return"], record["success"]
    text = f"return {value['mean']:.1f} [{value['low']:.1f}, {value['high']:.1f}]"
    if success is not None:
        text = f"success {success['rate']:.1%} [{success['low']:.1%}, {success['high']:.1%}], {text}"
    return f"{text} over {len(record['episodes'])} episodes"


def compare(options: argparse.Namespace, flags: list[str]) -> int:
    """`robo-rl compare CONFIG [--run DIR] [--jobs N] [--FIELD VALUE ...]`."""
    # This process only plans and watches: an accelerator is for those that train the cells.
    accelerator = {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "")}
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("MUJOCO_GL", "disabled")
    from robo_rl.compare import inputs
    from robo_rl.compare.command import compare_command

    if options.help:
        print("usage: robo-rl compare CONFIG [--run DIR] [--jobs N] [--FIELD VALUE ...]\n\nEvery field is a flag:\n")
        print(inputs.help_text())
        return 0
    if options.config is None:
        raise UserError("compare needs a CONFIG: a preset by name (compare_losses) or a YAML file.")
    return compare_command(options.config, options.run, options.jobs, flags, accelerator, StopOnSignal)


def evaluate(options: argparse.Namespace, _: list[str]) -> int:
    """`robo-rl evaluate CHECKPOINT|RUN|policy.zip [--episodes N] [--episode-seed S] [--video FILE] [--json FILE]`."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from robo_rl.evaluation import config_of, evaluate_checkpoint
    from robo_rl.files import write_json_atomic

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
    # The workers act on CPU cores; they, and this process, leave accelerators and screens alone.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("MUJOCO_GL", "disabled")
    from robo_rl.recording.record import record
    from robo_rl.recording.settings import parse

    config = parse(flags)
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
    if options.frames is None:
        os.environ.setdefault("MUJOCO_GL", "disabled")
    else:
        from robo_rl.render import require_gl_backend

        os.environ["MUJOCO_GL"] = require_gl_backend()
    from robo_rl.data.reader import EpisodeSource
    from robo_rl.recording.info import describe_dataset

    source = EpisodeSource(options.folder)
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
    from robo_rl.status import print_status

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


if __name__ == "__main__":
    sys.exit(main())
