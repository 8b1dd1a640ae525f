"""Makes the raw dataset of a source: gets the bytes, checks them, and puts arrays into the store."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.errors import SourceError
from tasks.ingest import archive, contents, download, folder, known, synthetic
from tasks.ingest.config import IngestConfig
from tasks.ingest.contents import Member, Rules
from tasks.ingest.official import CIFAR10, TEST_MEMBER, PinnedArchive
from tasks.ingest.pace import DEFAULT_TIMINGS, Timings
from tasks.ingest.sources import Source
from tasks.values.dataset import RawDataset

logger = logging.getLogger(__name__)


def build(
    source: Source,
    config: IngestConfig,
    *,
    pinned: PinnedArchive = CIFAR10,
    timings: Timings = DEFAULT_TIMINGS,
) -> RawDataset:
    """The images of a source, in the store.

    Args:
        source: Which data.
        config: The section `ingest`.
        pinned: The official archive.
        timings: How patient a download is.

    Raises:
        SourceError: if the data are damaged, not in the format, changed since `source` was made, or not the official
            ones without leave to be others.
        SourceUnreachableError: if no host gives the official archive.
        StoreError: if the store cannot be written.
    """
    if source.kind == "synthetic":
        return _publish("synthetic", _drawn(config), synthetic.CLASS_NAMES)
    if source.kind == "official":
        dataset = known.recall()
        if dataset is not None:
            logger.info("The store has CIFAR-10 already; nothing is downloaded.")
            return dataset
        members = _downloaded(config, pinned, timings)
        is_official = contents.require_official(members, Rules(pinned, allow_unofficial=False), pinned.file_name)
    else:
        if source.location is None or source.digest is None:
            raise ValueError("a local source needs a location and a digest")
        rules = Rules(pinned, allow_unofficial=config.allow_unofficial)
        members = _read(Path(source.location), rules, source.digest)
        is_official = contents.require_official(members, rules, source.location)
    if not is_official:
        dataset = _publish(f"unofficial-{source.slug}", members, CLASS_NAMES)
        logger.warning(
            "These are not the official images: %s has %s for training and %s for testing.",
            dataset.name,
            f"{dataset.num_train_images:,}",
            f"{dataset.num_test_images:,}",
        )
        return dataset
    dataset = _publish("cifar10", members, CLASS_NAMES)
    known.remember(dataset)
    return dataset


def _downloaded(config: IngestConfig, pinned: PinnedArchive, timings: Timings) -> list[Member]:
    """The official members, from the store's `downloads`.

    The archive stays there: 170 MB are cheap beside an hour at a throttled host, and with it a damaged artifact is
    made anew without network.
    """
    opened = store.current()
    with opened.staging():  # a full disk is explained, also while downloading
        path = download.fetch(
            config.urls,
            pinned,
            opened.folder("downloads"),
            opened.folder("locks"),
            idle_timeout_seconds=config.idle_timeout_seconds,
            timings=timings,
        )
    return archive.read(path, Rules(pinned, allow_unofficial=False), pinned.archive.sha256)


def _read(path: Path, rules: Rules, sha256: str) -> list[Member]:
    if path.is_dir():
        return folder.read(path, rules, sha256)
    if path.is_file():
        return archive.read(path, rules, sha256)
    raise SourceError(f"{path} was there when the run began and is gone now. Put it back, and start again.")


def _drawn(config: IngestConfig) -> list[Member]:
    return [
        contents.parse_member(name, data, hashlib.sha256(data).hexdigest(), "the practice images")
        for name, data in synthetic.files(config.synthetic_images, config.synthetic_seed)
    ]


def _publish(name: str, members: Sequence[Member], class_names: tuple[str, ...]) -> RawDataset:
    train = [member.records for member in members if member.name != TEST_MEMBER]
    test = [member.records for member in members if member.name == TEST_MEMBER]
    opened = store.current()
    with opened.staging() as staging:
        for split, parts in (("train", train), ("test", test)):
            _save(staging / f"{split}_images.npy", [part.images for part in parts])
            _save(staging / f"{split}_labels.npy", [part.labels for part in parts])
        artifact = opened.publish(staging)
    return RawDataset(
        name=name,
        artifact=artifact,
        class_names=class_names,
        num_train_images=sum(len(part.labels) for part in train),
        num_test_images=sum(len(part.labels) for part in test),
    )


def _save(path: Path, parts: Sequence[npt.NDArray[np.uint8]]) -> None:
    """What `np.save` of the concatenated parts writes, without a second copy of them in memory."""
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(part.data)
