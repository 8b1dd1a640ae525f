"""What a bundle is, byte by byte; no model is needed for that."""

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnn_model import bundle
from cnn_model.failures import BundleError, UsageError
from cnn_model.manifest import MANIFEST, REQUIRED, Manifest
from tests.bundles import describe, make_files


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = make_files(tmp_path / "bundle")
    bundle.seal(folder, describe())
    return folder


@pytest.fixture
def packed(sealed: Path) -> Path:
    archive = sealed.with_name("bundle.tar.gz")
    bundle.pack(sealed, archive)
    return archive


def repacked(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with other members."""
    with tarfile.open(archive) as tar:
        members = [(member, file.read()) for member in tar if (file := tar.extractfile(member)) is not None]
    change(members)
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return archive


def test_folder_and_archive_are_one_bundle(sealed: Path, packed: Path) -> None:
    manifest, digest = bundle.check(sealed)
    assert bundle.check(packed) == (manifest, digest)
    assert digest == hashlib.sha256((sealed / MANIFEST).read_bytes()).hexdigest()
    assert bundle.check(packed, digest)[1] == digest
    assert manifest.files["model.onnx"].sha256 == hashlib.sha256(b"content of model.onnx").hexdigest()
    assert set(manifest.files) == {*REQUIRED, "saved_model/variables/variables.index"}


@pytest.mark.parametrize("form", ["sealed", "packed"])
def test_an_opened_bundle_is_a_private_copy(form: str, request: pytest.FixtureRequest) -> None:
    place: Path = request.getfixturevalue(form)
    with bundle.opened(place) as opened:
        assert {path.relative_to(opened.folder).as_posix() for path in opened.folder.rglob("*") if path.is_file()} == {
            *opened.manifest.files
        }
        assert (opened.folder / "golden" / "images.npy").read_bytes() == b"content of golden/images.npy"
        assert opened.folder.stat().st_mode & 0o077 == 0
    assert not opened.folder.exists()


def test_equal_bundles_are_equal_archives(sealed: Path, packed: Path, tmp_path: Path) -> None:
    again = make_files(tmp_path / "elsewhere" / "other")
    for path in again.rglob("*"):
        os.utime(path, (1, 1))
    bundle.seal(again, describe())
    bundle.pack(again, tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == packed.read_bytes()
    with tarfile.open(packed) as tar:
        names = tar.getnames()
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o644)}
    assert names[0] == "practice-cnn-version-000003/manifest.json"


@pytest.mark.parametrize("name", [*REQUIRED, "saved_model/variables/variables.index", MANIFEST])
def test_a_changed_byte_is_named(sealed: Path, name: str) -> None:
    _, digest = bundle.check(sealed)
    content = bytearray((sealed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (sealed / name).write_bytes(content)
    bundle.pack(sealed, packed := sealed.with_name("bundle.tar.gz")) if name != MANIFEST else None
    for place in (sealed, packed) if name != MANIFEST else (sealed,):
        with pytest.raises(BundleError, match=name if name != MANIFEST else "expected"):
            bundle.check(place, digest)


def test_a_bundle_that_was_altered_with_its_manifest_is_told_by_its_digest(sealed: Path) -> None:
    _, digest = bundle.check(sealed)
    (sealed / MANIFEST).unlink()
    (sealed / "model.keras").write_bytes(b"another model")
    bundle.seal(sealed, describe())
    assert bundle.check(sealed)[1] != digest
    with pytest.raises(BundleError, match=f"expected {digest}"):
        bundle.check(sealed, digest)


@pytest.mark.parametrize("longer", [True, False])
def test_another_size_is_named(sealed: Path, longer: bool) -> None:
    content = (sealed / "model.onnx").read_bytes()
    (sealed / "model.onnx").write_bytes(content + b"more" if longer else content[:-1])
    with pytest.raises(BundleError, match=r"model\.onnx .* has .* bytes .* expected 21 bytes"):
        bundle.check(sealed)


@pytest.mark.parametrize("name", ["extra.txt", "model.h5", "model.pkl", "saved_model/assets/more", ".hidden"])
def test_a_file_that_the_manifest_does_not_name_is_refused(sealed: Path, name: str) -> None:
    (sealed / name).parent.mkdir(exist_ok=True)
    (sealed / name).write_bytes(pickle.dumps("anything"))
    with pytest.raises(BundleError, match=f"holds '{name}', which its manifest does not name"):
        bundle.check(sealed)


def test_a_missing_file_is_named(sealed: Path) -> None:
    (sealed / "golden" / "images.npy").unlink()
    with pytest.raises(BundleError, match=r"lacks golden/images\.npy"):
        bundle.check(sealed)


def test_links_and_pipes_are_refused(sealed: Path, tmp_path: Path) -> None:
    model = sealed / "model.keras"
    shutil.move(model, tmp_path / "model.keras")
    model.symlink_to(tmp_path / "model.keras")
    with pytest.raises(BundleError, match=r"holds 'model\.keras', a link or a device"):
        bundle.check(sealed)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(BundleError, match=r"holds 'model\.keras', a link or a device"):
        bundle.check(sealed)
    model.unlink()
    shutil.move(sealed / "saved_model", tmp_path / "saved_model")
    (sealed / "saved_model").symlink_to(tmp_path / "saved_model")
    with pytest.raises(BundleError, match="holds 'saved_model', a link or a device"):
        bundle.check(sealed)


@pytest.mark.parametrize(
    "name", ["../model.keras", "/etc/passwd", "saved_model/../../x", "saved_model//x", "model.h5", "a\\b", "x.pkl"]
)
def test_a_manifest_names_only_what_belongs_to_a_bundle(sealed: Path, name: str) -> None:
    content = json.loads((sealed / MANIFEST).read_text())
    content["files"][name] = content["files"]["model.onnx"]
    (sealed / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BundleError, match="is no file of a bundle; expected"):
        bundle.check(sealed)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"surprise": 1},
        {"files": {}},
        {"model_name": "../x"},
        {"tolerance": 1},
        {"class_names": ["a"]},
    ],
)
def test_a_manifest_of_another_form_is_refused(sealed: Path, change: dict[str, Any]) -> None:
    content = json.loads((sealed / MANIFEST).read_text())
    (sealed / MANIFEST).write_text(json.dumps({**content, **change}))
    with pytest.raises(BundleError, match=r"manifest\.json in .* cannot be right"):
        bundle.check(sealed)


@pytest.mark.parametrize(
    "content", [b"", b"no JSON", b"\xff", b" " * (2**20 + 1)], ids=["empty", "text", "bytes", "too long"]
)
def test_a_manifest_that_is_none_is_refused(sealed: Path, content: bytes) -> None:
    (sealed / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        bundle.check(sealed)


def test_what_is_no_bundle_is_a_wrong_question(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"")
    for place in (tmp_path / "missing", tmp_path / "missing.tar.gz", tmp_path / "model.keras"):
        with pytest.raises(UsageError, match="is no bundle; expected its folder"):
            bundle.check(place)
    with pytest.raises(BundleError, match=r"begins with 'model\.keras'; expected manifest\.json"):
        bundle.check(tmp_path)


def test_an_archive_that_leads_outside_is_refused_and_writes_nothing(packed: Path, tmp_path: Path) -> None:
    def climb(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member, content = members[-1]
        member.name = "practice-cnn-version-000003/../../escaped"
        members[-1] = (member, content)

    with pytest.raises(BundleError, match=r"holds '\.\./\.\./escaped', which its manifest does not name"):
        bundle.check(repacked(packed, climb))
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("name", ["elsewhere/model.onnx", "/model.onnx", "manifest.json"])
def test_an_archive_has_one_folder(packed: Path, name: str) -> None:
    def rename(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].name = name

    with pytest.raises(BundleError, match="expected plain files in practice-cnn-version-000003/ alone"):
        bundle.check(repacked(packed, rename))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_an_archive_holds_plain_files_alone(packed: Path, kind: bytes) -> None:
    def link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member, _ = members[1]
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0
        members[1] = (member, b"")

    with pytest.raises(BundleError, match="expected plain files"):
        bundle.check(repacked(packed, link))


def test_a_file_may_not_come_twice(packed: Path) -> None:
    with pytest.raises(BundleError, match="or not twice"):
        bundle.check(repacked(packed, lambda members: members.append(members[-1])))


def test_an_archive_begins_with_its_manifest(packed: Path) -> None:
    with pytest.raises(BundleError, match=r"begins with .*; expected manifest\.json"):
        bundle.check(repacked(packed, lambda members: members.reverse()))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(packed: Path, share: float) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match="Get the bundle again"):
        bundle.check(packed)


@pytest.mark.parametrize(
    "content",
    [b"no archive", gzip.compress(b"no archive"), gzip.compress(b"\0" * 10_000)],
    ids=["text", "packed text", "nothing"],
)
def test_what_is_no_archive_is_refused(packed: Path, content: bytes) -> None:
    packed.write_bytes(content)
    with pytest.raises(BundleError, match="Get the bundle again"):
        bundle.check(packed)


def test_an_archive_that_unpacks_to_more_than_any_bundle_is_not_read_to_its_end(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A header of its own may have any size, and Python keeps it in memory.
    header = tarfile.TarInfo("practice-cnn-version-000003/manifest.json")
    header.pax_headers = {"comment": "x" * 10**6}
    packed.write_bytes(gzip.compress(header.tobuf(tarfile.PAX_FORMAT)))
    monkeypatch.setattr(bundle, "MAX_FILE_BYTES", 2**18)
    with pytest.raises(BundleError, match="more than 524,288 bytes"):
        bundle.check(packed)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_any_size_is_not_read(packed: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("practice-cnn-version-000003/manifest.json")
    header.type, header.size = kind, 2**20 + 1
    content = gzip.decompress(packed.read_bytes())
    packed.write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(2**20 + 512) + content))
    with pytest.raises(BundleError, match="a header of 1,048,577 bytes; expected 1,048,576 at most"):
        bundle.check(packed)


def test_what_is_no_bundle_is_not_sealed(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "bundle")
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"'model\.pkl' is no file of a bundle"):
        bundle.seal(folder, describe())
    (folder / "model.pkl").unlink()
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is not among the files"):
        bundle.seal(folder, describe())
    assert not (folder / MANIFEST).exists()


def test_the_manifest_says_what_goes_in_and_comes_out(sealed: Path) -> None:
    manifest = Manifest.model_validate_json((sealed / MANIFEST).read_bytes())
    assert (manifest.signature.input.dtype, manifest.signature.input.shape) == ("uint8", (None, 32, 32, 3))
    assert (manifest.signature.output.name, manifest.signature.output.shape) == ("probabilities", (None, 10))
    assert manifest.title == "practice-cnn version 3"
