"""A tiny dataset in the real format: six members of 20 records, their archive, and its pinned facts."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable

import numpy as np

from tasks.ingest import records
from tasks.ingest.official import PinnedArchive, PinnedFile

NUM_RECORDS = 20
NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def member(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (NUM_RECORDS, 32, 32, 3), dtype=np.uint8)
    return records.encode(images, (np.arange(NUM_RECORDS) % 10).astype(np.uint8))


MEMBERS = {name: member(seed) for seed, name in enumerate(NAMES)}


def file_entry(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def tar_gz(entries: Iterable[tuple[tarfile.TarInfo, bytes]], *, level: int = 6) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), compresslevel=level, mtime=0)


def archive_of(members: dict[str, bytes]) -> bytes:
    return tar_gz(file_entry(f"cifar-10-batches-bin/{name}", data) for name, data in members.items())


def pinned_file(data: bytes) -> PinnedFile:
    return PinnedFile(len(data), hashlib.sha256(data).hexdigest())


ARCHIVE = archive_of(MEMBERS)
PINNED = PinnedArchive(
    file_name="tiny.tar.gz",
    archive=pinned_file(ARCHIVE),
    members={name: pinned_file(data) for name, data in MEMBERS.items()},
)
