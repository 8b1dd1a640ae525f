"""What is known of the official binary archive: names, sizes and digests, pinned here once and for all.

Sources: size and SHA-256 of the archive from tensorflow/datasets, `tensorflow_datasets/url_checksums/cifar10.txt`;
SHA-256 of the archive and of each member from ankane/torchvision-ruby, `lib/torchvision/datasets/cifar10.rb`; the
members' size is 10,000 records, as https://www.cs.toronto.edu/~kriz/cifar.html describes them. The two sources agree
where they overlap, and the digests of the members were computed anew from a copy of the data: equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tasks.ingest.records import RECORD_BYTES

TEST_MEMBER = "test_batch.bin"
"""The one file of test images, in official and unofficial data alike."""


@dataclass(frozen=True)
class PinnedFile:
    """A file whose content is known in advance."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class PinnedArchive:
    """An archive whose content is known in advance.

    Attributes:
        file_name: What it is called in the store's `downloads`.
        archive: The archive itself.
        members: The files in it that count, by base name.
    """

    file_name: str
    archive: PinnedFile
    members: Mapping[str, PinnedFile]


_MEMBER_BYTES = 10_000 * RECORD_BYTES

CIFAR10 = PinnedArchive(
    file_name="cifar-10-binary.tar.gz",
    archive=PinnedFile(170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    members=MappingProxyType(
        {
            name: PinnedFile(_MEMBER_BYTES, sha256)
            for name, sha256 in {
                "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                TEST_MEMBER: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            }.items()
        }
    ),
)
