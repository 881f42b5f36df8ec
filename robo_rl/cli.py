"""The command `robo-rl`: its commands and their arguments."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_rl import commands
from robo_rl.commands import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED
from robo_rl.errors import RunFailedError, UserError

WITH_FIELDS = (commands.train, commands.compare, commands.plasticity, commands.data_record)
"""Commands that take a flag for every field of their config."""

PLACE = "RUN/checkpoints/STEP, or RUN: its newest"

Parsers = Any
"""What `ArgumentParser.add_subparsers` returns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 fine, 1 the run failed, 2 bad input, 130 interrupted."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in WITH_FIELDS:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        code = options.command(options, rest)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if _output_is_open():  # then it was a pipe of ours, and nobody should take that for a closed terminal
            raise
        return EXIT_FAILED
    except RunFailedError as error:
        print(f"robo-rl: the run failed.\n{error}", file=sys.stderr)
        return EXIT_FAILED
    except UserError as error:
        print(f"robo-rl: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("robo-rl: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _output_is_open() -> bool:
    """Whether somebody still reads standard output; if not (`robo-rl ... | head`), nothing more is written to it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="robo-rl", description="Robotic manipulation with critics trained by classification."
    )
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")
    add_training(parsers)
    add_policies(parsers)
    add_fleet(parsers)
    add_data(parsers)
    add_looking(parsers)
    return parser


def add_training(parsers: Parsers) -> None:
    """Commands that learn."""
    sub = parsers.add_parser(
        "train", help="start, or resume if the run folder holds the same experiment", add_help=False
    )
    sub.add_argument("config", nargs="?", metavar="CONFIG", help="a preset by name, or a YAML file")
    sub.add_argument("--run", metavar="DIR", help="run folder (default: runs/CONFIG)")
    sub.add_argument("--record", metavar="DIR", help="add the actors' episodes to the data set in this folder")
    sub.add_argument("-h", "--help", action="store_true", help="every field of CONFIG, with unit and default")
    sub.set_defaults(command=commands.train)

    sub = parsers.add_parser(
        "compare", help="compare losses over tasks and seeds, or go on with a comparison", add_help=False
    )
    sub.add_argument("config", nargs="?", metavar="CONFIG", help="a preset by name, or a YAML file")
    sub.add_argument("--run", metavar="DIR", type=Path, help="folder of the comparison (default: runs/CONFIG)")
    sub.add_argument("--jobs", metavar="N", type=int, default=1, help="cells trained side by side (default: 1)")
    sub.add_argument("--report-only", action="store_true", help="train nothing; report what is there")
    sub.add_argument("-h", "--help", action="store_true", help="every field of a comparison")
    sub.set_defaults(command=commands.compare)

    sub = parsers.add_parser(
        "plasticity", help="which critic losses can still learn when their targets move; minutes", add_help=False
    )
    sub.add_argument("--run", metavar="DIR", type=Path, default=Path("runs/plasticity"), help="where the result goes")
    sub.set_defaults(command=commands.plasticity)


def add_policies(parsers: Parsers) -> None:
    """Commands about one checkpoint."""
    sub = parsers.add_parser("evaluate", help="judge a checkpoint on a fixed list of episode seeds")
    sub.add_argument(
        "checkpoint", metavar="CHECKPOINT|RUN|policy.zip", type=place_argument, help=f"{PLACE}; or an export"
    )
    sub.add_argument("--episodes", type=int, metavar="N", help="how many episodes (default: those of the config's end)")
    sub.add_argument("--episode-seed", type=int, metavar="S", help="first episode seed (default: the config's)")
    sub.add_argument("--video", type=Path, metavar="FILE", help="write an mp4 of the first episode")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the whole record")
    sub.add_argument("--suite", metavar="NAME|FILE", help="with --variation: judge as this evaluation suite does")
    sub.add_argument("--variation", metavar="NAME", help="a variation of the suite")
    sub.set_defaults(command=commands.evaluate)

    sub = parsers.add_parser("export", help="write a policy that runs with jax alone")
    sub.add_argument("checkpoint", metavar="CHECKPOINT|RUN", type=place_argument, help=PLACE)
    sub.add_argument("file", metavar="policy.zip", type=Path, help="where to write it; replaced if it is there")
    sub.set_defaults(command=commands.export)


def add_fleet(parsers: Parsers) -> None:
    """Commands about all checkpoints of runs."""
    sub = parsers.add_parser("fleet", help="judge every committed checkpoint of one or many runs, with many processes")
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
    sub.set_defaults(command=commands.fleet, mode="once")

    sub = parsers.add_parser(
        "promote", help="move `best` of a run, if the evaluations of a fleet show that it is better"
    )
    sub.add_argument("run", metavar="RUN", type=place_argument)
    sub.add_argument(
        "--suite", metavar="NAME|FILE", help="decide by this suite (default: the one the run was judged by)"
    )
    sub.add_argument("--dry-run", action="store_true", help="say what would be done, and why")
    sub.set_defaults(command=commands.promote)


def add_data(parsers: Parsers) -> None:
    """Commands about recorded episodes."""
    data = parsers.add_parser("data", help="record, look at and convert data sets of episodes (RLDS)")
    kinds = data.add_subparsers(required=True, metavar="record|info|convert")
    sub = kinds.add_parser("record", help="play episodes with many processes and write them", add_help=False)
    sub.set_defaults(command=commands.data_record)
    sub = kinds.add_parser("info", help="size, episodes, success and spec of a data set")
    sub.add_argument("folder", metavar="DIR", type=Path)
    sub.add_argument("--frames", type=Path, metavar="FILE", help="write three pictures of an episode as a PNG")
    sub.set_defaults(command=commands.data_info)
    sub = kinds.add_parser("convert", help="turn a tfrecord data set into array_record (needs the extra `tf`)")
    sub.add_argument("source", metavar="SRC", type=Path)
    sub.add_argument("out", metavar="OUT", type=Path)
    sub.set_defaults(command=commands.data_convert)


def add_looking(parsers: Parsers) -> None:
    """Commands that only look."""
    sub = parsers.add_parser("status", help="where a run stands, and who waits for what")
    sub.add_argument("run", metavar="RUN", type=place_argument)
    sub.set_defaults(command=commands.status)

    sub = parsers.add_parser("doctor", help="what this machine can do, and what is missing for what")
    sub.set_defaults(command=commands.doctor)


def place_argument(text: str) -> Path:
    """A path given on the command line: local, or in an object store (gs://...)."""
    from robo_rl.files import as_path

    try:
        return as_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
