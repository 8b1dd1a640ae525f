import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tasks.errors import SourceError
from tasks.ingest import archive, contents
from tasks.ingest.contents import Member, Rules
from tasks.ingest.records import RECORD_BYTES
from tests.unit.ingest import tiny

OFFICIAL = Rules(tiny.PINNED, allow_unofficial=False)
UNOFFICIAL = Rules(tiny.PINNED, allow_unofficial=True)


def read(path: Path, data: bytes, rules: Rules = OFFICIAL) -> list[Member]:
    path.write_bytes(data)
    return archive.read(path, rules, hashlib.sha256(data).hexdigest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.tar.gz"


def test_all_six_members_are_read_with_their_digests_whatever_their_order(path):
    members = read(path, tiny.archive_of(dict(reversed(tiny.MEMBERS.items()))))

    assert [member.name for member in members] == sorted(tiny.NAMES)
    assert {member.name: member.sha256 for member in members} == {
        name: pinned.sha256 for name, pinned in tiny.PINNED.members.items()
    }
    assert contents.require_official(members, OFFICIAL, "here")


def test_another_wrapper_round_the_official_members_is_official(path):
    data = tiny.tar_gz((tiny.file_entry(name, data) for name, data in tiny.MEMBERS.items()), level=1)
    assert hashlib.sha256(data).hexdigest() != tiny.PINNED.archive.sha256

    assert contents.require_official(read(path, data), OFFICIAL, "here")


@pytest.mark.parametrize("kept", [0, 5, 1000, len(tiny.ARCHIVE) // 2, len(tiny.ARCHIVE) - 1])
def test_a_truncated_archive_is_refused_with_both_sizes(path, kept):
    with pytest.raises(SourceError, match=rf"no complete tar\.gz.*it has {kept:,} bytes; the official one 3"):
        read(path, tiny.ARCHIVE[:kept])


@pytest.mark.parametrize("end", [tiny.ARCHIVE[-8:-1], bytes(8)])
def test_the_checksum_at_the_end_is_compared_though_all_members_came_before_it(path, end, monkeypatch):
    monkeypatch.setattr(archive, "_CHUNK_BYTES", 512)

    with pytest.raises(SourceError, match=r"no complete tar\.gz"):
        read(path, tiny.ARCHIVE[:-8] + end)


@pytest.mark.parametrize("position", [0, 3000, len(tiny.ARCHIVE) // 2, len(tiny.ARCHIVE) - 6])
def test_one_flipped_byte_is_refused(path, position):
    altered = bytearray(tiny.ARCHIVE)
    altered[position] ^= 1

    with pytest.raises(SourceError, match=r"no complete tar\.gz|SHA-256|labels outside|bytes"):
        contents.require_official(read(path, bytes(altered)), OFFICIAL, "here")


def test_a_flipped_byte_in_a_well_packed_member_is_refused_with_both_digests(path):
    altered = bytearray(tiny.MEMBERS["data_batch_3.bin"])
    altered[100] ^= 1
    members = read(path, tiny.archive_of({**tiny.MEMBERS, "data_batch_3.bin": bytes(altered)}))
    expected = tiny.PINNED.members["data_batch_3.bin"].sha256

    with pytest.raises(SourceError, match=rf"data_batch_3\.bin in here has SHA-256 [0-9a-f]{{64}}.*{expected}.*allow"):
        contents.require_official(members, OFFICIAL, "here")


def test_a_missing_member_is_named(path):
    members = read(path, tiny.archive_of({name: tiny.MEMBERS[name] for name in tiny.NAMES if "4" not in name}))

    with pytest.raises(SourceError, match=r"here lacks data_batch_4\.bin; expected data_batch_1\.bin"):
        contents.require_official(members, OFFICIAL, "here")


def test_label_11_is_named_with_its_record(path):
    altered = bytearray(tiny.MEMBERS["data_batch_2.bin"])
    altered[7 * RECORD_BYTES] = 11

    with pytest.raises(SourceError, match=r"data_batch_2\.bin in some\.tar\.gz has 1 of 20 labels.* 11, in record 7,"):
        read(path, tiny.archive_of({**tiny.MEMBERS, "data_batch_2.bin": bytes(altered)}))


def test_a_member_of_another_size_is_refused_before_it_is_read(path):
    longer = tiny.MEMBERS["test_batch.bin"] * 2

    with pytest.raises(SourceError, match=r"test_batch\.bin in .* has 122,920 bytes; the official one has 61,460"):
        read(path, tiny.archive_of({**tiny.MEMBERS, "test_batch.bin": longer}))


def test_a_member_that_comes_twice_is_refused(path):
    entries = [tiny.file_entry(name, data) for name, data in tiny.MEMBERS.items()]
    entries.append(tiny.file_entry("elsewhere/data_batch_1.bin", tiny.MEMBERS["data_batch_2.bin"]))

    with pytest.raises(SourceError, match=r"holds data_batch_1\.bin twice"):
        read(path, tiny.tar_gz(entries))


def test_paths_in_an_archive_are_never_used_as_paths(path, tmp_path):
    entries = [tiny.file_entry(f"../../{name}", data) for name, data in tiny.MEMBERS.items()]
    entries += [tiny.file_entry("../escaped.txt", b"x"), tiny.file_entry(f"{tmp_path}/absolute.bin", b"x")]

    members = read(path, tiny.tar_gz(entries))

    assert [member.name for member in members] == sorted(tiny.NAMES)
    assert list(tmp_path.iterdir()) == [path]
    assert not list(tmp_path.parent.glob("escaped.txt"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_and_devices_are_no_members(path, kind):
    link = tarfile.TarInfo("data_batch_1.bin")
    link.type = kind
    link.linkname = "data_batch_2.bin"
    rest = [tiny.file_entry(name, data) for name, data in tiny.MEMBERS.items() if name != "data_batch_1.bin"]

    members = read(path, tiny.tar_gz([*rest, (link, b"")]))

    assert "data_batch_1.bin" not in [member.name for member in members]


def test_a_small_file_that_unpacks_to_much_is_stopped_early(path):
    bomb = tiny.tar_gz([tiny.file_entry("zeros.txt", bytes(archive.MAX_OTHER_BYTES + 2**20))], level=9)
    assert len(bomb) < 50_000

    with pytest.raises(SourceError, match="unpacks to more than"):
        read(path, bomb)


def test_a_huge_header_is_bounded_too(path):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"comment": "x" * (archive.MAX_OTHER_BYTES + 2**20)}
        tar.addfile(info)
    with pytest.raises(SourceError, match="unpacks to more than"):
        read(path, gzip.compress(plain.getvalue()))


def test_many_entries_are_refused(path):
    entries = [tiny.file_entry(f"{number}.txt", b"") for number in range(archive.MAX_ENTRIES + 1)]

    with pytest.raises(SourceError, match="more than 1,000 entries"):
        read(path, tiny.tar_gz(entries))


def test_a_file_that_is_no_archive_is_refused(path):
    with pytest.raises(SourceError, match=r"no complete tar\.gz archive: .*gzip"):
        read(path, b"<html>log in first</html>")


def test_an_archive_that_changed_since_it_was_chosen_is_refused(path):
    path.write_bytes(tiny.ARCHIVE)

    with pytest.raises(SourceError, match="has changed since the run began"):
        archive.read(path, OFFICIAL, "0" * 64)


def test_own_data_may_have_any_number_of_records_and_names(path):
    data = tiny.archive_of(
        {
            "mine.bin": tiny.MEMBERS["test_batch.bin"][: 3 * RECORD_BYTES],
            "test_batch.bin": tiny.member(9),
            "notes": b"x",
        }
    )

    members = read(path, data, UNOFFICIAL)

    assert [(member.name, len(member.records.labels)) for member in members] == [
        ("mine.bin", 3),
        ("test_batch.bin", 20),
    ]
    assert not contents.require_official(members, UNOFFICIAL, "here")


def test_own_data_without_test_images_are_refused(path):
    members = read(path, tiny.archive_of({"mine.bin": tiny.member(9)}), UNOFFICIAL)

    with pytest.raises(SourceError, match="here holds 20 training and 0 test images"):
        contents.require_official(members, UNOFFICIAL, "here")


def test_own_data_are_not_taken_without_leave(path):
    members = read(path, tiny.archive_of({**tiny.MEMBERS, "test_batch.bin": tiny.member(9)}))

    with pytest.raises(SourceError, match=r"test_batch\.bin in here has SHA-256 .*--ingest\.allow-unofficial"):
        contents.require_official(members, OFFICIAL, "here")


def test_hidden_copies_of_macos_are_passed_over(path):
    data = tiny.archive_of({**tiny.MEMBERS, "._data_batch_1.bin": b"Mac OS X"})

    assert contents.require_official(read(path, data, UNOFFICIAL), UNOFFICIAL, "here")
