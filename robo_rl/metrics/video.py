"""Writing an mp4 from RGB frames with the ffmpeg that comes inside imageio-ffmpeg."""

import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from robo_rl.errors import UserError


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write `frames`, each uint8 RGB `[height, width, 3]` and all alike, as H.264; returns how many there were.

    Frames are encoded as they come, so a generator needs no memory for the whole film. The file appears under its
    name only when it is complete. H.264 in its common pixel format needs even sizes: an odd edge is repeated once.

    Args:
        path: where to write, ending in `.mp4`; its folder is made if needed. An existing file is replaced.
        frames: at least one frame.
        fps: frames per second, e.g. the environment's control_hz for a film in real time.

    Raises:
        ValueError: a frame of another shape or dtype (its index is named), no frame, no `.mp4`, or fps <= 0.
        UserError: ffmpeg is missing or failed, or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise ValueError(f"A video path must end in .mp4; got {path}.")
    if not fps > 0:
        raise ValueError(f"A video needs fps > 0; got {fps}.")
    # Hidden, beside its final place (os.replace needs one file system), and .mp4 so that ffmpeg knows the format.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            count = _encode(temporary, frames, fps)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write the video {path}: {error}. Check that its folder can be written.") from error
    return count


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Feed `frames` to an ffmpeg process that writes `path`."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("A video needs at least one frame; there was none.")
    shape = _check_frame(first, 0, None)
    # A file, not a pipe: nobody reads while frames are written, and a full pipe would stop ffmpeg.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(_command(path, _even(first), fps), stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert process.stdin is not None
        try:
            process.stdin.write(_even(first))
            count = 1
            for frame in iterator:
                _check_frame(frame, count, shape)
                process.stdin.write(_even(frame))
                count += 1
            process.stdin.close()
        except BrokenPipeError:
            # ffmpeg has given up; its own words say more than the pipe does.
            process.wait()
            raise _ffmpeg_failed(path, process.returncode, log) from None
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            _close_quietly(process.stdin)
        if process.returncode != 0:
            raise _ffmpeg_failed(path, process.returncode, log)
    return count


def _command(path: Path, frame: np.ndarray, fps: float) -> list[str]:
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError(
            f"No ffmpeg for videos: {error} Install it with `pip install imageio-ffmpeg` (its Linux wheel has one "
            "inside) or leave --video out."
        ) from error
    height, width, _ = frame.shape
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    # yuv420p plays everywhere; faststart puts the index first so that a browser can play while it loads.
    target = ["-an", "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    return [program, "-y", "-loglevel", "error", *source, *target]


def _check_frame(frame: np.ndarray, index: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"Frame {index} must be uint8 [height, width, 3]; got {found}.")
    if shape is not None and frame.shape != shape:
        raise ValueError(f"Frame {index} has shape {frame.shape}, but frame 0 had {shape}; all must be alike.")
    return frame.shape


def _even(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _close_quietly(stream: IO[bytes]) -> None:
    # Closing flushes; towards a process that is gone this raises what the exit status has said already.
    try:
        stream.close()
    except BrokenPipeError:
        return


def _ffmpeg_failed(path: Path, status: int, log: IO[bytes]) -> UserError:
    log.seek(0)
    words = log.read().decode(errors="replace").strip()[-500:] or "it said nothing"
    return UserError(f"ffmpeg failed with exit status {status} on {path}: {words}")
