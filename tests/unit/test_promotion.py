"""Promotions by a person, and their verification, against a real MLflow database in the store."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import machine, store
from tasks.champions import RECORD_TAG, find_model, read_record
from tasks.errors import RegistryError, StoreError
from tasks.ledger import LedgerEntry, open_ledger
from tasks.machine import Machine
from tasks.promotion import Manual, mirror, promote, roll_back
from tasks.registry import HEAD_TAG, VERDICT_TAG, Registry
from tasks.store import Reference
from tasks.verification import Verification, verify
from tests.ledgers import BucketFiles
from tests.promotions import NAME, aliases, tags
from tests.unit.ingest.places import BucketPlace

BY = {"reason": "because", "actor": "Jane", "run_id": "manual"}


@pytest.fixture
def folder(promoted_store: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of that store, which is the current one."""
    copied = Path(shutil.copytree(promoted_store, tmp_path / "store"))
    with machine.use(Machine(store=copied)):
        yield copied


def checked() -> Verification:
    return verify(NAME, open_ledger(NAME))


def model_file(folder: Path, version: int) -> Path:
    entry = next(entry for entry in open_ledger(NAME).entries() if entry.version == version)
    return store.current().fetch(find_model(entry)) / "model.keras"


def test_a_model_that_the_bucket_lost_is_sent_before_a_person_promotes_it(
    folder: Path, bucket: BucketPlace, tmp_path: Path
) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "mlflow.db":
            bucket.put(path.relative_to(folder).as_posix(), path.read_bytes())
    tracking_uri = f"sqlite:///{folder}/mlflow.db"
    here = Machine(store=tmp_path / "here", bucket=bucket.address, tracking_uri=tracking_uri)
    changes: tuple[Callable[[], Manual], ...] = (lambda: promote(NAME, 3, **BY), lambda: roll_back(NAME, 1, **BY))
    for number, change in enumerate(changes):
        with machine.use(here):
            for version in (1, 3):
                record = read_record(tags(folder, version)[RECORD_TAG])
                name = store.current().fetch(find_model(record)).relative_to(store.current().root)
                bucket.remove(f"{name}/manifest.json")
            entry = change().entry
        with machine.use(here.model_copy(update={"store": tmp_path / f"elsewhere-{number}"})):
            find_model(entry)


def test_a_refused_version_is_promoted_by_force_and_leaves_its_trace(folder: Path) -> None:
    made = promote(NAME, 3, **BY)
    entry = open_ledger(NAME).champion()
    assert entry == made.entry
    assert (entry.number, entry.version, entry.replaces_version) == (3, 3, 2)
    assert (entry.basis, entry.actor, entry.reason, entry.run_id) == ("force", "Jane", "because", "manual")
    # All that a run would have kept.
    assert (entry.accuracy, entry.test_digest, entry.dataset) == (0.53, "c" * 64, {"class_names": ["yes", "no"]})
    assert aliases(folder) == {"challenger": 3, "champion": 3, "previous": 2}
    found = tags(folder, 3)
    assert (found["verdict"], found["verdict_sentence"], found["forced_by"]) == ("promoted", "because", "Jane")
    assert made.problem is None
    assert checked().faults == ()


@pytest.mark.parametrize(("version", "message"), [(2, "is champion of practice-cnn already"), (9, "no version 9")])
def test_what_cannot_be_promoted(folder: Path, version: int, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        promote(NAME, version, **BY)
    assert len(open_ledger(NAME).entries()) == 2


def test_a_version_whose_data_were_not_kept_is_refused_with_the_way_on(folder: Path) -> None:
    Registry()._client.delete_model_version_tag(NAME, "3", RECORD_TAG)
    with pytest.raises(RegistryError, match=r"--register\.policy force"):
        promote(NAME, 3, **BY)


def test_tags_that_speak_of_another_model_promote_nothing(folder: Path) -> None:
    Registry().tag_version(NAME, 3, {RECORD_TAG: tags(folder, 1)[RECORD_TAG]})
    with pytest.raises(RegistryError, match="One was altered"):
        promote(NAME, 3, **BY)
    assert len(open_ledger(NAME).entries()) == 2


def test_a_rollback_restores_what_the_champion_replaced(folder: Path) -> None:
    made = roll_back(NAME, None, **BY)
    first, _, entry = open_ledger(NAME).entries()
    assert made.entry == entry
    assert (entry.version, entry.replaces_version, entry.restores_entry, entry.basis) == (1, 2, 1, "rollback")
    assert (entry.model_digest, entry.accuracy, entry.dataset) == (first.model_digest, first.accuracy, first.dataset)
    # Nobody who falls back on `previous` gets what was taken back.
    assert aliases(folder) == {"challenger": 3, "champion": 1}
    assert tags(folder, 2)["rolled_back_because"] == "because"
    assert checked().faults == ()


def test_two_rollbacks_go_back_by_two_and_a_third_has_nowhere_to_go(folder: Path) -> None:
    promote(NAME, 3, **BY)
    assert [roll_back(NAME, None, **BY).entry.version for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match="Version 1 is the first champion of practice-cnn"):
        roll_back(NAME, None, **BY)
    # What was taken back can be named.
    assert roll_back(NAME, 3, **BY).entry.restores_entry == 3
    assert aliases(folder)["previous"] == 2
    assert roll_back(NAME, None, **BY).entry.version == 2


@pytest.mark.parametrize(("to", "message"), [(2, "is champion of practice-cnn already"), (3, "was never champion")])
def test_what_cannot_be_gone_back_to(folder: Path, to: int, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        roll_back(NAME, to, **BY)


def test_a_rollback_to_a_damaged_model_is_refused_and_leaves_all_as_it_is(folder: Path) -> None:
    model_file(folder, 1).write_text("other weights")
    with pytest.raises(StoreError, match=r"Version 1 .* model\.keras has SHA-256 .* Version 2 stays"):
        roll_back(NAME, None, **BY)
    assert len(open_ledger(NAME).entries()) == 2


def test_a_promotion_stands_where_mlflow_cannot_be_reached_and_aliases_follow(folder: Path) -> None:
    with machine.use(Machine(store=folder, tracking_uri="http://127.0.0.1:9")):
        made = roll_back(NAME, None, **BY)
        assert made.problem is not None
        assert "does not answer" in made.problem
        found = checked()
        assert [fault.place for fault in found.faults] == ["MLflow"]
    assert aliases(folder)["champion"] == 2
    found = checked()
    assert (found.faults, aliases(folder)) == ((), {"challenger": 3, "champion": 1})
    assert found.repaired == ("previous was version 1, is none", "champion was version 2, is version 1")
    assert tags(folder, 2)["rolled_back_by"] == "Jane"


def taken_back(folder: Path) -> dict[int, str]:
    """The versions that MLflow shows as taken back, and why."""
    found = {version: tags(folder, version) for version in (1, 2, 3)}
    assert all(("rolled_back_by" in tags) == ("rolled_back_because" in tags) for tags in found.values())
    return {version: tags["rolled_back_because"] for version, tags in found.items() if "rolled_back_because" in tags}


def test_a_version_that_holds_again_is_no_longer_shown_as_taken_back(folder: Path) -> None:
    promote(NAME, 3, **BY)
    roll_back(NAME, 1, **BY | {"reason": "both"})
    assert taken_back(folder) == {2: "both", 3: "both"}
    promote(NAME, 3, **BY | {"reason": "again"})
    assert taken_back(folder) == {2: "both"}
    assert tags(folder, 3)["verdict_sentence"] == "again"
    roll_back(NAME, 2, **BY)
    assert taken_back(folder) == {3: "because"}


def test_tags_that_mlflow_missed_are_set_also_where_others_promoted_since(folder: Path) -> None:
    with machine.use(Machine(store=folder, tracking_uri="http://127.0.0.1:9")):
        roll_back(NAME, None, **BY)
        roll_back(NAME, 2, **BY)
        roll_back(NAME, 1, **BY | {"reason": "the last word"})
    promote(NAME, 3, **BY)
    assert taken_back(folder) == {2: "the last word"}
    Registry()._client.delete_model_version_tag(NAME, "2", "rolled_back_by")
    Registry().tag_version(NAME, 1, {"rolled_back_by": "nobody", "rolled_back_because": "never"})
    assert checked().faults == ()
    assert taken_back(folder) == {2: "the last word"}


def test_a_force_that_mlflow_missed_is_told_later_and_a_later_verdict_stands(folder: Path) -> None:
    with machine.use(Machine(store=folder, tracking_uri="http://127.0.0.1:9")):
        roll_back(NAME, None, **BY)
        promote(NAME, 2, **BY)
        roll_back(NAME, None, **BY)
    checked()
    assert (tags(folder, 2)["forced_by"], tags(folder, 2)["verdict_basis"]) == ("Jane", "force")
    Registry().tag_version(NAME, 2, {VERDICT_TAG: "refused"})
    checked()
    assert tags(folder, 2)[VERDICT_TAG] == "refused"


def test_verify_finds_nothing_where_nothing_is_wrong(folder: Path) -> None:
    found = checked()
    assert (found.entries, found.num_models, found.champion, found.previous) == (2, 2, 2, 1)
    assert (found.faults, found.repaired, found.sealed) == ((), (), False)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("how", ["altered", "lost"])
def test_a_tampered_model_is_named_and_never_given_out(folder: Path, version: int, how: str) -> None:
    path = model_file(folder, version)
    path.write_text("other weights") if how == "altered" else path.unlink()
    (fault,) = checked().faults
    assert fault.place == ("version 1" if version == 1 else "version 2, the champion")
    assert "model.keras" in fault.problem
    entry = next(entry for entry in open_ledger(NAME).entries() if entry.version == version)
    with pytest.raises(StoreError, match=r"model\.keras"):
        find_model(entry)


def test_another_whole_model_in_the_place_of_the_champions_is_named(folder: Path) -> None:
    """The entry, its seal, and MLflow's note of it are altered together, to the artifact of version 1."""
    first, second = (folder / "ledger" / NAME / f"00000{number}.json" for number in (1, 2))
    digest = json.loads(first.read_text())["model_digest"]
    second.write_text(json.dumps(json.loads(second.read_text()) | {"model_digest": digest}))
    second.with_suffix(".sha256").unlink()
    Registry()._client.delete_registered_model_tag(NAME, HEAD_TAG)
    (fault,) = checked().faults
    assert "It is not the model that was registered" in fault.problem


def test_an_entry_altered_together_with_its_seal_is_found_by_what_mlflow_was_told(folder: Path) -> None:
    last = folder / "ledger" / NAME / "000002.json"
    last.write_text(json.dumps(json.loads(last.read_text()) | {"accuracy": 0.99}))
    last.with_suffix(".sha256").unlink()
    (fault,) = checked().faults
    assert fault.place == "MLflow"
    assert "was told that entry 2 of the ledger" in fault.problem
    # Nothing vouches for it, and nothing is built upon it.
    assert not last.with_suffix(".sha256").exists()
    with pytest.raises(RegistryError, match="was told that entry 2 of the ledger"):
        promote(NAME, 3, **BY)
    with pytest.raises(RegistryError, match="was told that entry 2 of the ledger"):
        roll_back(NAME, None, **BY)
    with pytest.raises(RegistryError, match="was told that entry 2 of the ledger"):
        mirror(NAME, open_ledger(NAME))
    assert not last.with_suffix(".sha256").exists()
    assert len(open_ledger(NAME).entries()) == 2


def test_an_entry_without_its_seal_is_sealed_also_where_mlflow_cannot_be_reached(folder: Path) -> None:
    seal = folder / "ledger" / NAME / "000002.sha256"
    content = seal.read_bytes()
    for address in ("http://127.0.0.1:9", None):
        seal.unlink()
        with machine.use(Machine(store=folder, tracking_uri=address)):
            assert checked().sealed
        assert seal.read_bytes() == content


def test_a_ledger_whose_last_entry_is_cut_off_is_found_by_what_mlflow_was_told(folder: Path) -> None:
    for kind in ("json", "sha256"):
        (folder / "ledger" / NAME / f"000002.{kind}").unlink()
    (fault,) = checked().faults
    assert "it has nothing" in fault.problem
    assert aliases(folder)["champion"] == 2


def test_aliases_that_somebody_moved_are_told_and_repaired(folder: Path) -> None:
    Registry()._client.set_registered_model_alias(NAME, "champion", "3")
    assert checked().repaired == ("champion was version 3, is version 2",)
    assert aliases(folder)["champion"] == 2


def test_a_version_that_somebody_deleted_stops_no_alias(folder: Path) -> None:
    promote(NAME, 3, **BY)
    Registry()._client.delete_model_version(NAME, "1")
    made = roll_back(NAME, None, **BY)
    assert (made.entry.version, made.problem) == (2, None)
    assert made.mirrored == (
        "previous was version 2, is none: MLflow does not have version 1 any more",
        "champion was version 3, is version 2",
    )
    assert aliases(folder) == {"challenger": 3, "champion": 2}
    found = checked()
    assert (found.faults, found.previous) == ((), 1)
    assert found.repaired == ("previous was none, is none: MLflow does not have version 1 any more",)


def test_a_champion_that_somebody_deleted_can_be_taken_back(folder: Path) -> None:
    Registry()._client.delete_model_version(NAME, "2")
    made = roll_back(NAME, None, **BY)
    assert (made.entry.version, made.problem) == (1, None)
    assert aliases(folder)["champion"] == 1
    assert checked().faults == ()


def test_a_version_that_was_taken_back_and_deleted_gets_no_tags(folder: Path) -> None:
    with machine.use(Machine(store=folder, tracking_uri="http://127.0.0.1:9")):
        roll_back(NAME, None, **BY)
    Registry()._client.delete_model_version(NAME, "2")
    assert checked().faults == ()
    assert aliases(folder)["champion"] == 1


def test_nothing_is_told_to_mlflow_of_a_damaged_ledger(folder: Path) -> None:
    Registry()._client.set_registered_model_alias(NAME, "champion", "3")
    (folder / "ledger" / NAME / "000001.json").write_text("{}")
    found = checked()
    assert (len(found.faults), found.repaired) == (1, ())
    assert aliases(folder)["champion"] == 3


def test_an_entry_of_another_models_ledger_is_named(folder: Path) -> None:
    (folder / "ledger" / NAME).rename(folder / "ledger" / "cifar10-cnn")
    found = verify("cifar10-cnn", open_ledger("cifar10-cnn"))
    assert [fault.problem.split(";")[0] for fault in found.faults][:2] == ["is about practice-cnn"] * 2


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks import machine, promotion
from tasks.machine import Machine

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dying(owner, name, call=1):
    # Dies instead of the call of that number.
    made, calls = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        calls.append(name)
        return die() if len(calls) == call else made(*args, **kwargs)
    setattr(owner, name, wrapped)

moment = sys.argv[2]
with machine.use(Machine(store=Path(sys.argv[1]))):
    if moment == "after the draft":
        dying(os, "link")
    elif moment == "after the entry":
        dying(os, "link", call=2)
    elif moment == "before MLflow":
        promotion.mirror = die
    else:
        from mlflow import MlflowClient
        name, call = {
            "before the aliases": ("set_registered_model_alias", 1),
            "between the aliases": ("set_registered_model_alias", 2),
            "before the note": ("set_registered_model_tag", 1),
            "before the tags": ("set_model_version_tag", 1),
            "between the tags": ("set_model_version_tag", 3),
        }[moment]
        dying(MlflowClient, name, call)
    promotion.promote("practice-cnn", 3, reason="because", actor="Jane", run_id="manual")
"""
MOMENTS = (
    "after the draft",
    "after the entry",
    "before MLflow",
    "before the aliases",
    "between the aliases",
    "before the note",
    "before the tags",
    "between the tags",
)


def killed(folder: Path, moment: str) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], check=False, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_promotion_killed_at_any_moment_is_completed_by_the_next_command(folder: Path, moment: str) -> None:
    killed(folder, moment)
    entries = open_ledger(NAME).entries()
    if moment == "after the draft":
        assert len(entries) == 2
        promote(NAME, 3, **BY)
    else:
        assert (len(entries), entries[-1].version) == (3, 3)
        assert checked().faults == ()
    assert aliases(folder) == {"challenger": 3, "champion": 3, "previous": 2}
    found = tags(folder, 3)
    assert (found["verdict"], found["verdict_sentence"], found["forced_by"]) == ("promoted", "because", "Jane")
    again = checked()
    assert (again.faults, again.repaired, again.sealed) == ((), (), False)
    assert roll_back(NAME, None, **BY).entry.version == 2


def test_drafts_of_killed_promoters_are_cleared_once_nobody_can_be_writing_them(folder: Path) -> None:
    killed(folder, "after the draft")
    (draft,) = (folder / "ledger" / NAME).glob(".*.draft")
    roll_back(NAME, None, **BY)
    assert draft.exists()
    os.utime(draft, (0, 0))
    promote(NAME, 3, **BY)
    assert not draft.exists()


RACE = """
import sys, time
from pathlib import Path
from flows import promotion
from tasks.ledger import Ledger

# Both have looked at the champion before either promotes.
promote, meeting = Ledger.promote, Path(sys.argv[1])
def met(self, *args, **kwargs):
    (meeting / sys.argv[2]).touch()
    while len(list(meeting.iterdir())) < 2:
        time.sleep(0.01)
    return promote(self, *args, **kwargs)
Ledger.promote = met
sys.exit(promotion.main(sys.argv[3:]))
"""


@pytest.fixture(params=["disk", "bucket"])
def ledger_address(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The ledger in the store, or moved into a bucket."""
    if request.param == "disk":
        yield
        return
    request.getfixturevalue("s3_environment")
    files = BucketFiles(request.getfixturevalue("s3_endpoint"))
    for path in sorted((folder / "ledger" / NAME).iterdir()):
        files.write(f"{NAME}/{path.name}", path.read_bytes())
    shutil.rmtree(folder / "ledger")
    monkeypatch.setenv("RETRAINING_LEDGER", files.address)
    with machine.use(Machine(store=folder, ledger=files.address)):
        yield
    files.destroy()


def test_of_two_commands_that_promote_at_once_one_wins(ledger_address: None, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    commands = [["promote", "3"], ["rollback"]]
    options = ["--store", str(folder), "--reason", "because", "--actor", "Jane"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path / "meeting"), command[0], *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1], outputs
    (refusal,) = [stderr for process, (_, stderr) in zip(processes, outputs, strict=True) if process.returncode]
    assert "Nothing was promoted" in refusal
    assert len(refusal.splitlines()) == 1
    champion = open_ledger(NAME).champion()
    assert champion is not None
    assert champion.number == 3
    assert aliases(folder)["champion"] == champion.version
    assert checked().faults == ()


def test_who_looked_before_another_promoted_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is suspended between its look and its promotion; the champion that it saw is champion again."""

    def meanwhile(model: LedgerEntry) -> Reference:
        monkeypatch.setattr("tasks.promotion.find_model", find_model)
        promote(NAME, 3, reason="meanwhile", actor="Joe", run_id="other")
        roll_back(NAME, None, reason="meanwhile", actor="Joe", run_id="another")
        return find_model(model)

    monkeypatch.setattr("tasks.promotion.find_model", meanwhile)
    with pytest.raises(RegistryError, match=r"champion is version 2 now \(entry 4,"):
        roll_back(NAME, None, **BY)
    assert [entry.basis for entry in open_ledger(NAME).entries()] == ["first", "improve", "force", "rollback"]
