"""Turns an RLDS data set of tfrecord files into array_record: the same records in files of random access."""

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from robo_rl.data.writer import FEATURES, INFO, METADATA, SPLIT, DatasetWriter
from robo_rl.errors import DataError

ReadRecords = Callable[[list[str]], Iterable[bytes]]
"""tfrecord files -> their records in order."""


def convert(source: Path, out: Path, read_records: ReadRecords | None = None, shard_episodes: int = 500) -> int:
    """Copy the episodes of `source`'s split `train` to the new data set `out`; how many there are.

    `read_records` reads tfrecord files; None means TensorFlow, which checks each record's sum.

    Raises:
        DataError: no tfrecord data set, TensorFlow is missing, `out` is taken, or records are missing.
    """
    if not (source / INFO).is_file() or not (source / FEATURES).is_file():
        raise DataError(f"{source} is no data set: it needs {INFO} and {FEATURES}. Give the folder that holds them.")
    if (out / METADATA).exists() or (out.exists() and any(out.iterdir())):
        raise DataError(f"{out} is not empty. Give a new folder for the converted data set.")
    builder = tfds.builder_from_directory(str(source.absolute()))
    kind = builder.info.file_format
    if kind is None or kind.value != "tfrecord":
        raise DataError(
            f"{source} holds {getattr(kind, 'value', kind)} files; only tfrecord is converted, and array_record is "
            "read as it is."
        )
    if SPLIT not in builder.info.splits:
        raise DataError(f"{source} has no split {SPLIT!r} (splits: {sorted(builder.info.splits)}).")
    split = builder.info.splits[SPLIT]
    read = read_records or tensorflow_reader()
    metadata = {**(builder.info.metadata or {}), "converted_from": builder.info.full_name}
    count = 0
    with DatasetWriter(out, builder.name, builder.info.features, metadata, shard_episodes) as writer:
        try:
            for record in read([str(path) for path in split.filepaths]):
                writer.add(record)
                count += 1
        except Exception as error:  # each reader has its own kinds of errors for files that are cut or damaged
            raise DataError(
                f"{source}: the record after the first {count} cannot be read ({error}). Copy the data set again; "
                f"{out} has what there was."
            ) from error
    if count != split.num_examples:
        raise DataError(
            f"{source} should hold {split.num_examples} episodes, but its files hold {count}: one is truncated. "
            f"Copy it again; {out} has what there was."
        )
    return count


def tensorflow_reader() -> ReadRecords:
    """What reads tfrecord files with TensorFlow, the optional extra `tf`.

    Raises:
        DataError: TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            "Converting tfrecord files needs TensorFlow, which nothing else here does. Install it with the extra: "
            "pip install 'robo-rl[tf]' (about 1.8 GB; an environment of its own is fine)."
        )
    import tensorflow  # pyright: ignore[reportMissingImports]

    tf: Any = tensorflow
    return lambda paths: tf.data.TFRecordDataset(paths).as_numpy_iterator()
