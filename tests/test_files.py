import json
import threading

import pytest

from robo_rl.errors import UserError
from robo_rl.files import read_json, write_json_atomic


def test_round_trip_and_replacement(tmp_path):
    path = tmp_path / "data.json"
    for data in ({"a": [1, 2.5, None, "ä"]}, []):
        write_json_atomic(path, data)
        assert read_json(path) == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.json"]


@pytest.mark.parametrize("bad", [{"a": object()}, {"a": float("nan")}])
def test_what_is_not_json_leaves_the_old_file(tmp_path, bad):
    path = tmp_path / "data.json"
    write_json_atomic(path, 1)
    with pytest.raises((TypeError, ValueError)):
        write_json_atomic(path, bad)
    assert read_json(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.json"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "data.json"
    write_json_atomic(path, 1)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_json_atomic(path, 2)
    assert read_json(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / "data.json").write_bytes(content)
    with pytest.raises(UserError, match=r"data\.json should hold JSON"):
        read_json(tmp_path / "data.json")


def test_reader_never_sees_a_part(tmp_path):
    path = tmp_path / "data.json"
    write_json_atomic(path, [0] * 5000)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(len(set(json.loads(path.read_text()))))

    reader = threading.Thread(target=read)
    reader.start()
    for value in range(50):
        write_json_atomic(path, [value] * 5000)
    stop.set()
    reader.join()
    assert seen == {1}
