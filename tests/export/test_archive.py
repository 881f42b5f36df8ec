"""The zip: round trip, repeatable bytes, and every kind of damage refused by name."""

import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robo_rl.errors import ExportError, UserError
from robo_rl.export.archive import MANIFEST, read_archive, write_archive

MEMBERS = {"a.json": b"{}\n", "weights.bin": bytes(range(256)) * 4}


@pytest.fixture
def file(tmp_path):
    write_archive(tmp_path / "policy.zip", MEMBERS)
    return tmp_path / "policy.zip"


def rewritten(file, change):
    """The archive with its members, the manifest among them, passed through `change`."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def test_round_trip(file, tmp_path):
    assert read_archive(file) == MEMBERS
    write_archive(tmp_path / "again.zip", MEMBERS)
    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.zip", "policy.zip"]


def test_a_tampered_member_is_named(file):
    rewritten(file, lambda members: members.update({"weights.bin": b"other"}))
    with pytest.raises(ExportError, match=r"weights\.bin is not what was exported"):
        read_archive(file)


def test_a_lacking_and_an_unlisted_member_are_named(file):
    rewritten(file, lambda members: members.pop("a.json"))
    with pytest.raises(ExportError, match=r"lacks members \['a.json'\]"):
        read_archive(file)
    rewritten(file, lambda members: members.update({"a.json": MEMBERS["a.json"], "extra.py": b""}))
    with pytest.raises(ExportError, match=r"unlisted ones \['extra.py'\]"):
        read_archive(file)


def test_a_member_twice_is_refused(file):
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.json", b"{}\n")
    with pytest.raises(ExportError, match=r"twice: \['a.json'\]"):
        read_archive(file)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (b"", "missing or unreadable"),
        (b"[]", "missing or unreadable"),
        (b"\xff", "missing or unreadable"),
        (json.dumps({"format": "other", "version": 1, "sha256": {}}).encode(), "another format"),
        (json.dumps({"format": "robo_rl policy", "version": 99, "sha256": {}}).encode(), "format 99"),
    ],
)
def test_a_foreign_manifest_is_refused(file, manifest, said):
    rewritten(file, lambda members: members.update({MANIFEST: manifest}))
    with pytest.raises(ExportError, match=said):
        read_archive(file)


def test_what_is_no_file_or_no_zip_is_refused(tmp_path):
    with pytest.raises(ExportError, match="There is no file"):
        read_archive(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(ExportError, match="no zip file"):
        read_archive(tmp_path / "text.zip")
    with pytest.raises(ExportError, match="truncated"):
        read_archive(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(file, kept):
    whole = file.read_bytes()
    short = file.with_name("short.zip")
    short.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ExportError):
        read_archive(short)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(file, place, bit):
    damaged = bytearray(file.read_bytes())
    damaged[int(place * len(damaged))] ^= 1 << bit
    copy = file.with_name("damaged.zip")
    copy.write_bytes(damaged)
    try:
        members = read_archive(copy)
    except ExportError:
        return
    assert members == MEMBERS


def test_an_unwritable_place_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_archive(tmp_path / "file" / "policy.zip", MEMBERS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
