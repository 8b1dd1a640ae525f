"""What a source holds, file by file, and whether that is CIFAR-10. Knows nothing of archives, folders or hosts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.errors import SourceError
from tasks.ingest import records
from tasks.ingest.official import TEST_MEMBER, PinnedArchive
from tasks.ingest.records import Records

ALLOW = "--ingest.allow-unofficial"

MAX_UNOFFICIAL_BYTES = 2 * 2**30
"""More than a source of our own may hold once unpacked: 698,000 images."""

_UNOFFICIAL_NAME = re.compile(r"[^.].*\.bin")
"""Any `.bin` file but hidden ones, such as the `._data_batch_1.bin` that macOS adds to archives."""


@dataclass(frozen=True)
class Member:
    """One file of a source, parsed.

    Attributes:
        name: Its base name.
        sha256: Of its bytes.
        records: Its images and labels.
    """

    name: str
    sha256: str
    records: Records


@dataclass(frozen=True)
class Rules:
    """Which files of a source count, and how much they may hold."""

    official: PinnedArchive
    allow_unofficial: bool

    @property
    def max_bytes(self) -> int:
        """The limit for all files that count, together."""
        if self.allow_unofficial:
            return MAX_UNOFFICIAL_BYTES
        return sum(member.size_bytes for member in self.official.members.values())

    def counts(self, name: str) -> bool:
        """Whether a file of that base name holds images."""
        return name in self.official.members or (self.allow_unofficial and _UNOFFICIAL_NAME.fullmatch(name) is not None)

    def check_size(self, name: str, size_bytes: int, where: str) -> None:
        """Refuse a file by its size, before it is read.

        Raises:
            SourceError: if it is not the official size, or beyond the limit for data of one's own.
        """
        if self.allow_unofficial:
            if size_bytes > MAX_UNOFFICIAL_BYTES:
                raise SourceError(
                    f"{name} in {where} has {size_bytes:,} bytes; expected at most {MAX_UNOFFICIAL_BYTES:,} in all. "
                    "Give fewer images."
                )
            return
        expected = self.official.members[name].size_bytes
        if size_bytes != expected:
            raise SourceError(
                f"{name} in {where} has {size_bytes:,} bytes; the official one has {expected:,}. "
                f"Get the archive again, or accept images of your own with {ALLOW}."
            )


def require_official(members: Sequence[Member], rules: Rules, where: str) -> bool:
    """Whether the members are exactly the official ones.

    Raises:
        SourceError: if they are not and unofficial data was not asked for, or if training or test images are missing.
    """
    found = {member.name: member.sha256 for member in members}
    expected = {name: member.sha256 for name, member in rules.official.members.items()}
    if found == expected:
        return True
    if rules.allow_unofficial:
        _check_both_kinds(members, where)
        return False
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise SourceError(
            f"{where} lacks {', '.join(missing)}; expected {', '.join(expected)}. "
            f"Get the binary version of CIFAR-10 again, or accept images of your own with {ALLOW}."
        )
    name = next(name for name in sorted(found) if found[name] != expected[name])
    others = sum(found[other] != expected[other] for other in found) - 1
    raise SourceError(
        f"{name} in {where} has SHA-256 {found[name]}; the official one has {expected[name]}"
        f"{f' ({others} more differ)' if others else ''}. "
        f"Get the archive again, or accept images of your own with {ALLOW}."
    )


def parse_member(name: str, data: bytes, sha256: str, where: str) -> Member:
    """Parse one file.

    Raises:
        SourceError: if it is not in the record format.
    """
    return Member(name, sha256, records.parse(data, f"{name} in {where}"))


def _check_both_kinds(members: Sequence[Member], where: str) -> None:
    num_test = sum(len(member.records.labels) for member in members if member.name == TEST_MEMBER)
    num_train = sum(len(member.records.labels) for member in members if member.name != TEST_MEMBER)
    if not num_train or not num_test:
        raise SourceError(
            f"{where} holds {num_train:,} training and {num_test:,} test images; expected at least one of each. "
            f"Put training images into data_batch_1.bin (any other .bin name will do), test images into {TEST_MEMBER}."
        )
