"""An object store in this process's memory, which etils.epath opens by gs:// names: no locks, no links, no renames."""

import contextlib

import fsspec
from etils.epath import backend
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry


class ObjectStore(MemoryFileSystem):
    """Names without folders; a file is written whole, and nothing else can be done to it but to read and remove it."""

    protocol = ("gcs", "gs")
    store = {}  # noqa: RUF012 (the base class has them as class attributes too)
    pseudo_dirs = [""]  # noqa: RUF012
    requests = 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix("gs://").removeprefix("gcs://"))

    def _open(self, path, mode="rb", **options):
        assert "a" not in mode, "objects cannot be appended to"
        ObjectStore.requests += 1
        return super()._open(path, mode, **options)

    def ls(self, path, detail=True, **options):
        ObjectStore.requests += 1
        return super().ls(path, detail, **options)

    def mv(self, *names, **options):
        raise AssertionError("objects cannot be renamed")

    rename = mv


@contextlib.contextmanager
def object_store():
    """Let gs:// mean an empty ObjectStore while the block lasts."""
    before = dict(fsspec.registry)
    ObjectStore.store.clear()
    ObjectStore.pseudo_dirs[:] = [""]
    for name in ObjectStore.protocol:
        fsspec.register_implementation(name, ObjectStore, clobber=True)
    backend.fsspec_backend._get_filesystem.cache_clear()
    try:
        yield ObjectStore()
    finally:
        for name in ObjectStore.protocol:
            if name not in before:
                _registry.pop(name, None)
        backend.fsspec_backend._get_filesystem.cache_clear()


def upload(folder, uri, store, skip=()):
    """Copy the files below a local folder, as any copying program does: one by one."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith(tuple(skip)):
            store.pipe_file(f"{uri}/{name}", path.read_bytes())
