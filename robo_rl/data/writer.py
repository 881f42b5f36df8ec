"""Writes a data set shard by shard; whenever the writer dies, what stands on disk is whole and readable."""

import fcntl
import json
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from robo_rl.errors import DataError
from robo_rl.files import read_json, write_json_atomic

SPLIT = "train"
INFO, FEATURES, METADATA = "dataset_info.json", "features.json", "metadata.json"
# Without the usual `-of-N`: a shard keeps its name however many follow.
FILE_NAMES = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


class DatasetWriter:
    """Appends episodes to a data set; a context manager.

    Episodes go to a temporary file, which becomes a shard by one rename once it has `shard_episodes`; then
    dataset_info.json, which names the shards that count, is replaced atomically. Killed at any time, the data set
    holds the shards finished before; a clean exit, also by an exception, finishes the last one too. A folder has one
    writer at a time.
    """

    def __init__(
        self, folder: Path, name: str, features: Any, metadata: dict[str, Any], shard_episodes: int = 100
    ) -> None:
        """Start the data set `name` in `folder`, or go on with one of the same `metadata` (JSON).

        Raises:
            DataError: the folder holds something else, cannot be written, or another process is writing to it.
        """
        self.folder, self._name, self._features = folder, name, features
        self._shard_episodes = shard_episodes
        self._metadata = json.loads(json.dumps(metadata))  # as it comes back from the file: tuples are lists there
        self._lengths: list[int] = []
        self._bytes, self._pending_bytes, self._pending = 0, 0, 0
        self._shard: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
            self._unlock = weakref.finalize(self, os.close, lock)
            self._begin(lock)
        except OSError as error:
            raise DataError(f"{folder} cannot be written ({error}). Choose another folder.") from error
        except DataError:
            self._unlock()
            raise

    @property
    def finished(self) -> int:
        """Episodes in finished shards."""
        return sum(self._lengths)

    def add(self, record: bytes) -> None:
        """Append one serialised episode; see `features.serialize`."""
        if self._shard is None:
            # One record per group, so that a reader of one episode does not decode its neighbours.
            self._shard = ArrayRecordWriter(str(self._partial), "group_size:1")
        self._shard.write(record)
        self._pending += 1
        self._pending_bytes += len(record)
        if self._pending >= self._shard_episodes:
            self.finish_shard()

    def finish_shard(self) -> None:
        """Make what was added since the last shard part of the data set; nothing if there is nothing."""
        if self._shard is None:
            return
        self._shard.close()
        self._shard = None
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._shard_file(len(self._lengths)))
        self._lengths.append(self._pending)
        self._bytes += self._pending_bytes
        self._pending = self._pending_bytes = 0
        self._write_info()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last shard: the episodes in it are complete, whatever happened."""
        try:
            self.finish_shard()
        finally:
            self._unlock()

    def _begin(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{self.folder} is being written by another process. Wait for it, stop it, or give another folder."
            ) from None
        if (self.folder / METADATA).exists():
            there = read_json(self.folder / METADATA)
            if there != self._metadata:
                differing = [key for key in sorted(there.keys() | self._metadata.keys())
                             if there.get(key) != self._metadata.get(key)]  # fmt: skip
                raise DataError(
                    f"{self.folder} holds another recording; {', '.join(differing)} differ. Give this one a folder of "
                    "its own (--out), or use the same arguments to go on with that one."
                )
        elif any(self.folder.iterdir()):
            raise DataError(
                f"{self.folder} is not empty and holds no recording. Give an empty or a new folder (--out)."
            )
        else:
            write_json_atomic(self.folder / METADATA, self._metadata)
        if (self.folder / INFO).exists():
            [split] = read_json(self.folder / INFO)["splits"]
            self._lengths, self._bytes = [int(length) for length in split["shardLengths"]], int(split["numBytes"])
        # What a killed writer left behind counts for nothing.
        self._partial.unlink(missing_ok=True)
        for leftover in self.folder.glob(".info*"):
            shutil.rmtree(leftover)

    @property
    def _partial(self) -> Path:
        return self.folder / ".unfinished_shard"

    def _shard_file(self, number: int) -> Path:
        return self.folder / f"{self._name}-{SPLIT}.array_record-{number:05d}"

    def _write_info(self) -> None:
        identity = tfds.core.DatasetIdentity(
            name=self._name, version=tfds.core.Version("1.0.0"), data_dir=str(self.folder), module_name=""
        )
        info = tfds.core.DatasetInfo(
            builder=identity, features=self._features, metadata=tfds.core.MetadataDict(self._metadata)
        )
        info.set_file_format("array_record")
        template = tfds.core.ShardedFileTemplate(
            data_dir=tfds.core.Path(self.folder), dataset_name=self._name, split=SPLIT, filetype_suffix="array_record",
            template=FILE_NAMES,
        )  # fmt: skip
        split = tfds.core.SplitInfo(
            name=SPLIT, shard_lengths=self._lengths, num_bytes=self._bytes, filename_template=template
        )
        info.set_splits(tfds.core.SplitDict([split]))
        # tfds writes its files in place; from a folder beside they are moved, the one that counts shards last.
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".info") as beside:
            info.write_to_directory(beside)
            for name in (FEATURES, INFO):
                os.replace(Path(beside) / name, self.folder / name)
