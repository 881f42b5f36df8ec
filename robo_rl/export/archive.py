"""The zip around an exported policy: the same members give the same bytes, and every member is checked when read."""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_rl.errors import ExportError, UserError

MANIFEST = "manifest.json"
FORMAT = "robo_rl policy"
FORMAT_VERSION = 1

# The earliest date a zip can hold: a real one would make two exports of one checkpoint differ.
_DATE = (1980, 1, 1, 0, 0, 0)


def to_json(data: Any) -> bytes:
    """`data` as indented UTF-8 JSON; NaN and infinity raise ValueError, since JSON does not know them."""
    return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode()


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write `members` and a manifest of their SHA-256 to `path`; a reader sees the old file or the whole new one.

    Members are stored, not compressed: weights hardly shrink, and the bytes then do not depend on a zlib version.

    Raises:
        UserError: the file cannot be written; nothing is left behind.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    manifest = {"format": FORMAT, "version": FORMAT_VERSION, "sha256": hashes}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                for name, content in {MANIFEST: to_json(manifest), **members}.items():
                    archive.writestr(_member(name), content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}). Choose another place.") from error


def read_archive(path: Path) -> dict[str, bytes]:
    """Name -> content of every member but the manifest, after comparing all with their hashes.

    The hashes find damage and careless edits; they are no signature, so trust a file only as far as who gave it.

    Raises:
        ExportError: missing, truncated, no policy export, a newer format, or a member that is damaged, lacking or
            not listed (it is named).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            contents = {name: _content(path, archive, name) for name in names}
    except FileNotFoundError as error:
        raise ExportError(f"There is no file {path}. `robo-rl export RUN {path.name}` makes one.") from error
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ExportError(f"{path} is truncated, damaged or no zip file ({error}). {_ADVICE}") from error
    if len(set(names)) != len(names):
        raise ExportError(f"{path} holds a member twice: {sorted({n for n in names if names.count(n) > 1})}. {_ADVICE}")
    hashes = _hashes(path, contents.pop(MANIFEST, b""))
    lacking, unlisted = sorted(hashes.keys() - contents.keys()), sorted(contents.keys() - hashes.keys())
    if lacking or unlisted:
        raise ExportError(f"{path} lacks members {lacking} and holds unlisted ones {unlisted}. {_ADVICE}")
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != hashes[name]:
            raise ExportError(f"{path}: member {name} is not what was exported (its SHA-256 differs). {_ADVICE}")
    return contents


_ADVICE = "Get the file again, or export the checkpoint again (robo-rl export CHECKPOINT FILE)."


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr = 3, 0o644 << 16
    return info


def _content(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """One member; whatever a damaged header makes zipfile raise becomes an error that names the member."""
    try:
        return archive.read(name)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ExportError(f"{path}: member {name!r} cannot be read ({problem}). {_ADVICE}") from error


def _hashes(path: Path, text: bytes) -> dict[str, str]:
    """Member -> SHA-256 of a manifest of our format."""
    try:
        manifest = json.loads(text)
        is_ours = manifest["format"] == FORMAT and isinstance(manifest["sha256"], dict)
        version = int(manifest["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is no policy export: its {MANIFEST} is missing or unreadable. {_ADVICE}") from error
    if not is_ours:
        raise ExportError(f"{path} is no policy export: its {MANIFEST} is of another format. {_ADVICE}")
    if version > FORMAT_VERSION:
        raise ExportError(
            f"{path} has export format {version}; this program reads up to {FORMAT_VERSION}. Use a newer robo_rl, or "
            "the run_policy.py inside the file."
        )
    return manifest["sha256"]
