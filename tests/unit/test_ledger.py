import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tasks import machine
from tasks.errors import ConfigurationError, RegistryError, TransientError
from tasks.ledger import Ledger, ledger_names
from tasks.ledger_place import LedgerBucket, place_below
from tasks.machine import Machine
from tasks.objects import Objects
from tasks.succession import anchor, champion_at, previous, promotion_of, succession, was_rolled_back
from tasks.values.decision import Basis
from tests.ledgers import BucketFiles, DiskFiles, entry

Files = DiskFiles | BucketFiles


@pytest.fixture
def bucket_files(s3_endpoint: str, s3_environment: None) -> Iterator[BucketFiles]:
    files = BucketFiles(s3_endpoint)
    yield files
    files.destroy()


@pytest.fixture(params=["disk", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """Where a ledger may stand, empty."""
    if request.param == "bucket":
        found: BucketFiles = request.getfixturevalue("bucket_files")
        return found
    return DiskFiles(tmp_path / "ledger")


@pytest.fixture
def ledger(files: Files) -> Ledger:
    return Ledger(place_below(files.address, "practice-cnn"))


def altered(content: bytes, **change: object) -> bytes:
    return (json.dumps(json.loads(content) | change, indent=1) + "\n").encode()


def test_the_last_entry_is_the_champion(ledger: Ledger) -> None:
    assert ledger.champion() is None
    ledger.promote(entry(1, None))
    second = ledger.promote(entry(3, 1))
    assert ledger.champion() == second
    assert [item.number for item in ledger.entries()] == [1, 2]
    assert ledger.faults() == []


def test_a_promoter_that_missed_another_promotion_is_refused(ledger: Ledger) -> None:
    ledger.promote(entry(1, None))
    ledger.promote(entry(2, 1))
    with pytest.raises(RegistryError, match="champion is version 2 now"):
        ledger.promote(entry(3, 1))
    assert len(ledger.entries()) == 2


def test_a_promoter_that_comes_back_from_the_dead_is_refused_also_where_its_champion_is_champion_again(
    ledger: Ledger,
) -> None:
    first = ledger.promote(entry(1, None))
    second = ledger.promote(entry(2, 1), after=first)
    ledger.promote(entry(1, 2, basis="rollback", restores_entry=1), after=second)
    with pytest.raises(RegistryError, match=r"replace version 1 \(entry 1\).* champion is version 1 now \(entry 3,"):
        ledger.promote(entry(3, 1), after=first)
    assert len(ledger.entries()) == 3


def test_of_two_promoters_at_once_one_wins(files: Files, ledger: Ledger) -> None:
    ledger.promote(entry(1, None))
    script = (
        "import sys, time\n"
        "from tests.ledgers import entry\n"
        "from tasks.ledger import Ledger\n"
        "from tasks.ledger_place import place_below\n"
        "from tasks.errors import RegistryError\n"
        "time.sleep(max(0, float(sys.argv[3]) - time.time()))\n"
        "try:\n"
        "    Ledger(place_below(sys.argv[1], 'practice-cnn')).promote(entry(int(sys.argv[2]), 1))\n"
        "except RegistryError as error:\n"
        "    sys.exit(str(error))\n"
    )
    at = str(datetime.now().timestamp() + 5)
    processes = [
        subprocess.Popen([sys.executable, "-c", script, files.address, str(version), at], stderr=subprocess.PIPE)
        for version in (2, 3, 4)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1], errors
    assert all("Nothing was promoted" in error for error in errors if error), errors
    assert len(ledger.entries()) == 2
    assert ledger.faults() == []


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("change", [{"version": 7}, {"model_digest": "d" * 64}, {"number": 5}])
def test_an_altered_entry_is_named_and_gives_no_champion(
    files: Files, ledger: Ledger, number: int, change: dict[str, object]
) -> None:
    for version in (1, 2, 3):
        ledger.promote(entry(version, version - 1 or None))
    name = f"practice-cnn/00000{number}.json"
    files.write(name, altered(files.read(name), **change))
    (fault,) = ledger.faults()
    assert fault.place.endswith(name)
    assert "was altered: its SHA-256 is" in fault.problem
    for use in (ledger.champion, lambda: ledger.promote(entry(4, 3)), ledger.seal):
        with pytest.raises(RegistryError, match=r"00000\d\.json .*Restore"):
            use()


def test_an_entry_that_is_no_entry_is_named(files: Files, ledger: Ledger) -> None:
    ledger.promote(entry(1, None))
    files.write("practice-cnn/000001.json", b"{")
    files.delete("practice-cnn/000001.sha256")
    with pytest.raises(RegistryError, match=r"000001\.json cannot be read"):
        ledger.entries()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_entry_is_named(files: Files, ledger: Ledger, number: int) -> None:
    for version in (1, 2, 3):
        ledger.promote(entry(version, version - 1 or None))
    files.delete(f"practice-cnn/00000{number}.json")
    with pytest.raises(RegistryError, match=rf"00000{number}\.json is lost"):
        ledger.entries()


def test_an_entry_whose_seal_is_lost_still_fits_its_successor_or_does_not(files: Files, ledger: Ledger) -> None:
    ledger.promote(entry(1, None))
    ledger.promote(entry(2, 1))
    name = "practice-cnn/000001.json"
    files.write(name, altered(files.read(name), version=7))
    files.delete("practice-cnn/000001.sha256")
    (fault,) = ledger.faults()
    assert "000002.json" in fault.place
    assert "One of the two was altered or lost" in fault.problem


def test_a_promoter_that_was_killed_before_the_seal_is_completed_by_the_next(files: Files, ledger: Ledger) -> None:
    ledger.promote(entry(1, None))
    files.delete("practice-cnn/000001.sha256")
    assert ledger.champion() is not None
    ledger.promote(entry(2, 1))
    assert files.files()[-4:] == [
        f"practice-cnn/00000{number}.{kind}" for number in (1, 2) for kind in ("json", "sha256")
    ]
    files.delete("practice-cnn/000002.sha256")
    assert (ledger.seal(), ledger.seal()) == (True, False)
    files.write("practice-cnn/000002.json", b"{}")
    assert len(ledger.faults()) == 1


def test_seals_are_what_sha256sum_checks(tmp_path: Path) -> None:
    Ledger(tmp_path).promote(entry(1, None))
    subprocess.run(["sha256sum", "--check", "000001.sha256"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_a_draft_that_a_killed_process_left_is_no_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    (tmp_path / ".0123.draft").write_text('{"number": 1')
    ledger.promote(entry(1, None))
    assert len(ledger.entries()) == 1


def test_a_draft_that_its_own_process_clears_meanwhile_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.glob

    def overtaken(folder: Path, pattern: str) -> Iterator[Path]:
        # Between the list and the look at each file.
        found = list(listed(folder, pattern))
        found[0].unlink()
        return iter(found)

    for name in ("0123", "4567"):
        draft = tmp_path / f".{name}.draft"
        draft.write_text("{")
        os.utime(draft, (0, 0))
    monkeypatch.setattr(Path, "glob", overtaken)
    Ledger(tmp_path).promote(entry(1, None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.json", "000001.sha256"]


@pytest.mark.parametrize("lost", [("000001.json",), ("000001.json", "000001.sha256", "000002.json")])
def test_a_ledger_whose_first_entry_is_lost_is_still_one(files: Files, ledger: Ledger, lost: tuple[str, ...]) -> None:
    with machine.use(Machine(ledger=files.address)):
        assert ledger_names() == []
        ledger.promote(entry(1, None))
        ledger.promote(entry(2, 1))
        for name in lost:
            files.delete(f"practice-cnn/{name}")
        assert ledger_names() == ["practice-cnn"]


def test_a_folder_of_other_files_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("notes.txt", "000001.json.bak", ".0123.draft", "1.json"):
        (tmp_path / "notes" / name).touch()
    with machine.use(Machine(ledger=str(tmp_path))):
        assert ledger_names() == []


class AnswerLost(Objects):
    """The object is written, and then the network is gone."""

    def create(self, name: str, data: bytes) -> None:
        super().create(name, data)
        if name.endswith(".json"):
            raise TransientError("the connection was reset")


class AskedAgain(Objects):
    """The driver asks again after a lost answer, and finds its own object there."""

    def create(self, name: str, data: bytes) -> None:
        super().create(name, data)
        if name.endswith(".json"):
            super().create(name, data)


class LostBefore(Objects):
    """The network is gone before anything is written."""

    def create(self, name: str, data: bytes) -> None:
        if name.endswith(".json"):
            raise TransientError("the connection was reset")
        super().create(name, data)


class Unconditional(Objects):
    """A server that does not know `If-None-Match`."""

    def create(self, name: str, data: bytes) -> None:
        self.write(name, data)


@pytest.mark.parametrize("kind", [AnswerLost, AskedAgain])
def test_an_answer_that_is_lost_is_no_lost_promotion(bucket_files: BucketFiles, kind: type[Objects]) -> None:
    ledger = Ledger(LedgerBucket(kind(bucket_files.address), "practice-cnn"))
    assert ledger.promote(entry(1, None)).number == 1
    assert ledger.promote(entry(2, 1)).number == 2
    assert ledger.faults() == []


def test_a_network_that_is_lost_before_the_entry_is_written_is_said_so(bucket_files: BucketFiles) -> None:
    ledger = Ledger(LedgerBucket(LostBefore(bucket_files.address), "practice-cnn"))
    with pytest.raises(TransientError, match="reset"):
        ledger.promote(entry(1, None))
    assert ledger.entries() == []


def test_a_server_that_cannot_create_exclusively_keeps_no_ledger(bucket_files: BucketFiles) -> None:
    ledger = Ledger(LedgerBucket(Unconditional(bucket_files.address), "practice-cnn"))
    with pytest.raises(ConfigurationError, match="If-None-Match"):
        ledger.promote(entry(1, None))
    assert ledger.entries() == []


def test_a_bucket_that_is_not_there_is_said_so(s3_environment: None) -> None:
    ledger = Ledger(place_below("s3://nobody-made-this/ledger", "practice-cnn"))
    with pytest.raises(RegistryError, match="s3://nobody-made-this/ledger/practice-cnn cannot be read"):
        ledger.entries()


def test_an_entry_of_before_the_basis_was_recorded_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.promote(entry(1, None))
    path = tmp_path / "000001.json"
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "basis"})
    )
    (tmp_path / "000001.sha256").unlink()  # there was none, either
    second = ledger.promote(entry(2, 1, basis="refresh"))
    assert [found.basis for found in ledger.entries()] == [None, "refresh"]
    assert second.predecessor_sha256 is not None


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ([], None),
        (["first"], 1),
        (["first", "refresh", "refresh"], 1),
        (["first", "improve", "refresh"], 2),
        (["first", "refresh", "force", "refresh"], 3),
        ([None, None, "refresh"], 2),
    ],
)
def test_the_anchor_is_the_last_champion_that_no_refresh_chose(bases: list[Basis | None], expected: int | None) -> None:
    entries = [
        entry(version, version - 1 or None, number=version, basis=basis) for version, basis in enumerate(bases, start=1)
    ]
    found = anchor(entries)
    assert (found.version if found is not None else None) == expected


HISTORY = [
    entry(1, None, number=1, basis="first", model_sha256="1"),
    entry(2, 1, number=2, basis="improve", model_sha256="2"),
    entry(3, 2, number=3, basis="refresh", model_sha256="3"),
    entry(2, 3, number=4, basis="rollback", restores_entry=2, model_sha256="2"),
    entry(1, 2, number=5, basis="rollback", restores_entry=1, model_sha256="1"),
    entry(4, 1, number=6, basis="refresh", model_sha256="4"),
    entry(3, 4, number=7, basis="rollback", restores_entry=3, model_sha256="3"),
]


@pytest.mark.parametrize(
    ("num_entries", "held", "anchored", "before"),
    [
        (3, [1, 2, 3], 2, 2),
        (4, [1, 2], 2, 1),
        (5, [1], 1, None),
        (6, [1, 6], 1, 1),
        (7, [1, 2, 3], 2, 2),
    ],
)
def test_a_rollback_takes_back_all_that_came_after_what_it_restores(
    num_entries: int, held: list[int], anchored: int, before: int | None
) -> None:
    entries = HISTORY[:num_entries]
    assert [item.number for item in succession(entries)] == held
    found, back = anchor(entries), previous(entries)
    assert (found.number if found else None) == anchored
    assert (back.number if back else None) == before


def test_which_model_was_taken_back() -> None:
    assert [was_rolled_back(HISTORY[:5], sha256) for sha256 in "1239"] == [False, True, True, False]
    assert [was_rolled_back(HISTORY, sha256) for sha256 in "1234"] == [False, False, False, True]
    found = promotion_of(HISTORY, "3")
    assert found is not None
    assert found.number == 3


@pytest.mark.parametrize("restored", [None, 4, 9])
def test_a_rollback_that_restores_no_promotion_is_damage(restored: int | None) -> None:
    broken = entry(1, 2, number=5, basis="rollback", restores_entry=restored)
    with pytest.raises(RegistryError, match="entry 5 of practice-cnn is a rollback that restores entry"):
        succession([*HISTORY[:4], broken])


def test_who_was_champion_at_a_moment() -> None:
    entries = [
        found.model_copy(update={"promoted_at": datetime.fromisoformat(f"2026-01-0{number}T12:00:00+00:00")})
        for number, found in enumerate(HISTORY[:3], start=1)
    ]
    days = [datetime.fromisoformat(f"2026-01-0{day}T11:59:00+00:00") for day in (1, 2, 3, 4)]
    found = [champion_at(entries, day) for day in days]
    assert [item.version if item else None for item in found] == [None, 1, 2, 3]
