import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from robo_rl.errors import UserError
from robo_rl.metrics.video import write_video


def read(path):
    """The frames per second, size and frames of a film, decoded by ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    process = subprocess.run(command, capture_output=True, check=True, timeout=60)
    description = process.stderr.decode()
    width, height = map(int, re.search(r"Video: h264.*?yuv420p.*? (\d+)x(\d+)", description).groups())
    fps = float(re.search(r"([\d.]+) fps", description)[1])
    return fps, (width, height), np.frombuffer(process.stdout, np.uint8).reshape(-1, height, width, 3)


def film(count, height, width):
    """Frames of one grey each, so that their order can be read back."""
    return [np.full((height, width, 3), 20 + 40 * index, np.uint8) for index in range(count)]


def test_the_film_comes_back(tmp_path):
    frames = film(5, 48, 64)
    assert write_video(tmp_path / "videos" / "7.mp4", iter(frames), fps=5) == 5
    fps, size, found = read(tmp_path / "videos" / "7.mp4")
    assert size == (64, 48)
    assert fps == 5
    assert len(found) == 5
    for wanted, got in zip(frames, found, strict=True):
        assert np.abs(wanted.astype(int) - got).max() < 8
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["7.mp4"]


def test_colours_and_orientation_survive(tmp_path):
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32, :32, 0] = 200
    frame[32:, 32:, 2] = 200
    write_video(tmp_path / "a.mp4", [frame], fps=10)
    (found,) = read(tmp_path / "a.mp4")[2]
    assert found[16, 16].argmax() == 0
    assert found[48, 48].argmax() == 2
    assert found[16, 48].max() < 40


def test_odd_sizes_are_padded_to_even_ones_and_not_scaled(tmp_path):
    write_video(tmp_path / "a.mp4", film(3, 85, 83), fps=10)
    assert read(tmp_path / "a.mp4")[1] == (84, 86)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((48, 64, 3), np.float32), "Frame 1 must be uint8"),
        (np.zeros((48, 64), np.uint8), "Frame 1 must be uint8"),
        (np.zeros((48, 32, 3), np.uint8), "Frame 1 has shape"),
        ("frame", "Frame 1 must be uint8"),
    ],
)
def test_a_bad_frame_is_named_and_leaves_nothing_behind(tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", [*film(1, 48, 64), bad], fps=10)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_source_leaves_the_older_film(tmp_path):
    write_video(tmp_path / "a.mp4", film(2, 16, 16), fps=10)
    before = (tmp_path / "a.mp4").read_bytes()

    def broken():
        yield film(1, 16, 16)[0]
        raise RuntimeError("the renderer died")

    with pytest.raises(RuntimeError, match="renderer died"):
        write_video(tmp_path / "a.mp4", broken(), fps=10)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [("a.gif", film(1, 8, 8), 10, ".mp4"), ("a.mp4", [], 10, "at least one"), ("a.mp4", film(1, 8, 8), 0, "fps")],
)
def test_what_cannot_become_a_film_is_refused(tmp_path, name, frames, fps, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, fps)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the video"):
        write_video(tmp_path / "file" / "a.mp4", film(1, 8, 8), fps=10)


@pytest.mark.parametrize("frames", [1, 200])
def test_what_ffmpeg_says_when_it_fails_reaches_the_user(tmp_path, monkeypatch, frames):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(UserError, match=r"exit status 3.*no such codec"):
        write_video(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * frames, fps=10)


def test_a_machine_without_ffmpeg_is_told_what_to_install(tmp_path, monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        write_video(tmp_path / "a.mp4", film(1, 8, 8), fps=10)
