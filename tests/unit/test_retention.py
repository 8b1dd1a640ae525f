"""What of a store may go, on real stores: a small one with three registered models, and what else lies there."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import locks, machine, promotion, retention, store
from tasks.champions import publish_record, read_record, record_of
from tasks.errors import ConfigurationError, RegistryError, RegistryUnreachableError
from tasks.inventory import FolderInventory
from tasks.ledger import open_ledger
from tasks.machine import Machine
from tasks.retention import Pruning, RetentionConfig
from tasks.store import Reference, Store
from tasks.verification import verify
from tests.promotions import NAME, register

DAY = 24 * 3600
FEW = RetentionConfig(keep_runs=1, max_age_days=14)


@pytest.fixture
def opened(promoted_store: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of that store, as it is after a year in which nobody used it."""
    folder = Path(shutil.copytree(promoted_store, tmp_path / "store"))
    with machine.use(Machine(store=folder)):
        age(folder, 365)
        yield store.current()


def age(folder: Path, days: float) -> None:
    then = time.time() - days * DAY
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))


def publish(opened: Store, **files: str) -> Reference:
    with opened.staging() as folder:
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        return opened.publish(folder)


def leave_result(opened: Store, name: str, *artifacts: Reference) -> Path:
    """As Prefect leaves one: JSON within JSON."""
    opened.folder("results").mkdir(exist_ok=True)
    data = {"__class__": "tasks.values.x.X", "data": [artifact.model_dump() for artifact in artifacts]}
    path = opened.folder("results") / name
    path.write_text(json.dumps({"metadata": {"storage_key": str(path)}, "result": json.dumps(data)}))
    return path


def leave_run(opened: Store, name: str, **summary: object) -> Path:
    folder = opened.folder("runs", name)
    (folder / "summary.json").write_text(json.dumps({"run_id": name, **summary}))
    return folder


def leave_bundle(opened: Store, version: int) -> Path:
    folder = opened.folder("bundles", NAME, f"version-{version:06d}")
    (folder / "manifest.json").write_text("{}")
    folder.with_name(folder.name + ".tar.gz").write_bytes(b"archive")
    return folder


def pruned(config: RetentionConfig = FEW, *, apply: bool = True) -> Pruning:
    return retention.prune(config, apply=apply, waiting=pytest.fail)


def there(opened: Store, artifact: Reference | str) -> bool:
    digest = artifact if isinstance(artifact, str) else artifact.digest
    return (opened.root / "artifacts" / digest[:2] / digest).exists()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """All files and folders with size and time; but for the lock that the registry takes to look at itself."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_relative_to(folder / "locks") and path != folder / "locks"
    }


def test_what_nobody_wants_goes_and_the_ledger_keeps_what_it_names(opened: Store) -> None:
    entries = open_ledger(NAME).entries()
    refused = record_of(entries[0]).model_copy(update={"model_digest": "f" * 64})
    record, forgotten = publish_record(refused), publish(opened, a_npy="old predictions")
    bundles = [leave_bundle(opened, version) for version in (1, 2, 3, 4)]
    age(opened.root, 365)
    found = pruned()
    assert [there(opened, entry.model_digest) for entry in entries] == [True, True]
    assert not there(opened, forgotten)
    assert not there(opened, record)
    # Version 3 was refused, and is the challenger.
    assert [folder.exists() for folder in bundles] == [True, True, True, False]
    assert [folder.with_name(folder.name + ".tar.gz").exists() for folder in bundles] == [True, True, True, False]
    assert {tally.kind: tally.removed for tally in found.tallies if tally.removed} == {"artifacts": 2, "bundles": 1}
    assert found.removed_bytes > 0
    assert {reason.reason for reason in found.reasons} >= {retention.BY_LEDGER, retention.BY_ALIAS}


def test_after_it_ledger_and_models_verify_and_each_way_back_works(opened: Store) -> None:
    publish(opened, a_npy="old predictions")
    age(opened.root, 365)
    pruned()
    assert verify(NAME, open_ledger(NAME)).faults == ()
    by = {"reason": "because", "actor": "a test"}
    assert promotion.promote(NAME, 3, run_id="a", **by).entry.version == 3
    for version in (1, 2, 3):
        assert promotion.roll_back(NAME, version, run_id=f"to {version}", **by).entry.version == version
    assert verify(NAME, open_ledger(NAME)).faults == ()


def test_a_dry_run_touches_nothing(opened: Store) -> None:
    publish(opened, a_npy="old predictions")
    leave_result(opened, "a" * 64)
    leave_run(opened, "run-1")
    leave_run(opened, "run-2")
    (opened.folder("staging") / "left").mkdir()
    age(opened.root, 365)
    before = listing(opened.root)
    found = pruned(apply=False)
    assert (found.applied, found.removed) == (False, 4)
    assert listing(opened.root) == before
    assert pruned().removed == found.removed
    assert pruned().removed == 0


def test_the_last_runs_stay_with_what_they_name_and_with_their_versions(opened: Store) -> None:
    with machine.use(Machine(store=opened.root)):
        register(4)
        register(5)
        register(6)
    named, old = publish(opened, a_npy="named"), publish(opened, a_npy="old")
    runs = [leave_run(opened, f"run-{number}", model_name=NAME, model_version=number) for number in (4, 5)]
    (runs[0] / "report.html").write_text(f"<b>{old.digest}</b>")
    (runs[1] / "report.html").write_text(f"<b>{named.digest}</b>")
    promoted = leave_run(opened, "run 1")  # that of the ledger's first entry
    bundles = [leave_bundle(opened, version) for version in (4, 5)]
    age(opened.root, 365)
    os.utime(runs[1] / "summary.json", (time.time() - 300 * DAY,) * 2)
    pruned()
    assert [folder.exists() for folder in (*runs, promoted)] == [False, True, True]
    assert (there(opened, named), there(opened, old)) == (True, False)
    assert [folder.exists() for folder in bundles] == [False, True]
    # What was registered by a run that is kept can still be promoted by hand.
    by = {"reason": "because", "actor": "a test", "run_id": "by hand"}
    assert promotion.promote(NAME, 5, **by).entry.version == 5


def test_what_was_used_lately_stays_whatever_its_age(opened: Store) -> None:
    used, unused = publish(opened, a_npy="used"), publish(opened, a_npy="unused")
    again = publish(opened, a_npy="published again")
    age(opened.root, 365)
    opened.fetch(used)
    assert publish(opened, a_npy="published again") == again
    pruned()
    assert [there(opened, artifact) for artifact in (used, again, unused)] == [True, True, False]


def test_a_young_result_keeps_its_artifacts_and_an_old_one_goes_with_the_first_of_its_own(opened: Store) -> None:
    wanted, other, gone = (publish(opened, a_npy=text) for text in ("wanted", "other", "gone"))
    old = [
        leave_result(opened, "1" * 64, wanted),
        leave_result(opened, "2" * 64, wanted, gone),
        leave_result(opened, "3" * 64),
    ]
    age(opened.root, 365)
    young = leave_result(opened, "4" * 64, wanted, other)
    pruned()
    assert [there(opened, artifact) for artifact in (wanted, other, gone)] == [True, True, False]
    assert [path.exists() for path in (*old, young)] == [True, False, False, True]


def test_an_artifact_keeps_what_its_records_name(opened: Store) -> None:
    model = publish(opened, a_npy="a model")
    old = publish(opened, a_npy="a dataset")
    entry = open_ledger(NAME).entries()[0]
    record = record_of(entry).model_copy(
        update={"model_digest": model.digest, "dataset": {"artifact": old.model_dump(), "drops": []}}
    )
    age(opened.root, 365)
    digest = publish_record(record)
    pruned()
    assert there(opened, model)
    assert there(opened, old)
    assert read_record(digest) == record


def test_the_official_images_scores_and_downloads_never_go(opened: Store) -> None:
    base, sample = publish(opened, a_npy="the base"), publish(opened, a_npy="a sample")
    (opened.folder("datasets") / "cifar10.json").write_text(json.dumps({"dataset": {"artifact": base.model_dump()}}))
    scores = opened.folder("predictions", NAME, "ab" * 8)
    (scores / "score.json").write_text(json.dumps({"sample": sample.model_dump()}))
    (scores / "part-00000.parquet").write_bytes(b"scores")
    archive, broken_off = opened.folder("downloads") / "cifar.tar.gz", opened.folder("downloads") / "cifar.tar.gz.part"
    archive.write_bytes(b"archive")
    broken_off.write_bytes(b"arch")
    age(opened.root, 3650)
    pruned()
    assert there(opened, base)
    assert there(opened, sample)
    assert (scores / "part-00000.parquet").exists()
    assert archive.exists()
    assert not broken_off.exists()


def test_what_killed_processes_left_goes_after_two_weeks(opened: Store) -> None:
    for place in ("staging", "checkpoints"):
        for days in (15, 13):
            (opened.folder(place, f"of-{days}-days") / "state").write_bytes(b"state")
            age(opened.root / place / f"of-{days}-days", days)
    found = pruned(RetentionConfig())
    assert next(tally for tally in found.tallies if tally.kind == "leftovers").removed == 2
    for place in ("staging", "checkpoints"):
        assert [path.name for path in (opened.root / place).iterdir()] == ["of-13-days"]


def test_what_a_run_takes_up_meanwhile_stays(opened: Store) -> None:
    taken, gone = publish(opened, a_npy="taken"), publish(opened, a_npy="gone")
    age(opened.root, 365)
    inventory = FolderInventory(opened)
    plan = retention.plan(inventory, FEW)
    opened.fetch(taken)
    removed = {item.name for item in retention.remove(inventory, plan)}
    assert gone.digest in removed
    assert taken.digest not in removed
    assert there(opened, taken)


def test_folders_that_come_and_go_meanwhile_do_not_stop_it(opened: Store) -> None:
    """A run that is at work makes drafts in staging all the time, and takes them away or renames them."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with opened.staging() as draft:
                (draft / "inner").mkdir()
                (draft / "inner" / "model.keras").write_text("weights")

    kept = publish(opened, text="kept")
    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(500):
            assert kept.digest in {item.name for item in FolderInventory(opened).items()}
    finally:
        over.set()
        for worker in workers:
            worker.join()


def kills(number: int) -> None:
    """Make the n-th removal of this process its end: at once, before the system is called."""
    left = number

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("os.remove", "os.rename", "os.rmdir"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def test_killed_at_any_removal_it_leaves_a_store_that_is_whole(opened: Store, tmp_path: Path) -> None:
    gone = [publish(opened, a_npy=text, b_json="{}") for text in ("one", "two")]
    kept = publish(opened, a_npy="kept")
    leave_result(opened, "1" * 64, *gone)
    leave_result(opened, "2" * 64, kept)
    leave_bundle(opened, 4)
    leave_run(opened, "run-1")
    leave_run(opened, "run-2")
    age(opened.root, 365)
    (opened.folder("results") / ("2" * 64)).touch()
    number = 0
    while True:
        number += 1
        folder = Path(shutil.copytree(opened.root, tmp_path / f"killed-{number}", copy_function=shutil.copy2))
        with machine.use(Machine(store=folder)):
            inventory = FolderInventory(store.current())
            plan = retention.plan(inventory, FEW)
            child = os.fork()
            if child == 0:
                try:
                    kills(number)
                    retention.remove(inventory, plan)
                    os._exit(0)
                finally:  # whatever it raises, it must not go on as a second pytest
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            require_whole(store.current())
            assert verify(NAME, open_ledger(NAME)).faults == ()
            age(folder, 365)  # to look at it was to use it
            (folder / "results" / ("2" * 64)).touch()
            # The next one ends what was begun.
            pruned()
            assert not any((folder / "staging").iterdir())
            assert there(store.current(), kept)
            assert not any(there(store.current(), artifact) for artifact in gone)
            require_whole(store.current())
        shutil.rmtree(folder)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
    assert number > 10


def require_whole(opened: Store) -> None:
    """Each artifact that is there is whole, and each result names only such ones."""
    digests = [path.name for path in opened.root.glob("artifacts/*/*")]
    for digest in digests:
        opened.find(digest)
    for result in opened.folder("results").iterdir():
        for digest in retention.DIGEST.findall(result.read_bytes()):
            assert digest.decode() in {*digests, result.name}
    for folder in opened.root.glob("bundles/*/version-*"):
        assert folder.suffix == ".gz" or (folder / "manifest.json").exists()


def test_two_never_meet(opened: Store) -> None:
    publish(opened, a_npy="old")
    age(opened.root, 365)
    asked = threading.Event()
    found: list[Pruning] = []

    def second() -> None:
        with machine.use(Machine(store=opened.root)):
            found.append(retention.prune(FEW, apply=True, waiting=lambda _: asked.set()))

    with locks.turn(opened.folder("locks"), "prune", pytest.fail):
        thread = threading.Thread(target=second)
        thread.start()
        assert asked.wait(60)
        assert not found
    thread.join(60)
    assert found[0].removed == 1


def test_with_another_ledger_nothing_is_removed(opened: Store, tmp_path: Path) -> None:
    opened.folder("decisions", NAME)
    old = publish(opened, a_npy="old")
    age(opened.root, 365)
    with (
        machine.use(Machine(store=opened.root, ledger=str(tmp_path / "empty"))),
        pytest.raises(RegistryError, match="was told that entry 2"),
    ):
        pruned()
    assert there(opened, old)


def test_with_another_registry_nothing_is_removed(opened: Store, tmp_path: Path) -> None:
    old = publish(opened, a_npy="old")
    age(opened.root, 365)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with (
        machine.use(Machine(store=opened.root, tracking_uri=other)),
        pytest.raises(RegistryError, match="has decided about versions of practice-cnn, and the registry has none"),
    ):
        pruned()
    with (
        machine.use(Machine(store=opened.root, tracking_uri="http://127.0.0.1:9")),
        pytest.raises(RegistryUnreachableError),
    ):
        pruned()
    assert there(opened, old)


def test_a_damaged_ledger_stops_it(opened: Store) -> None:
    old = publish(opened, a_npy="old")
    age(opened.root, 365)
    path = opened.root / "ledger" / NAME / "000001.json"
    path.write_text(path.read_text().replace("better", "best"))
    with pytest.raises(RegistryError, match="was altered"):
        pruned()
    assert there(opened, old)


def test_a_store_before_its_first_run_has_nothing_to_remove(opened_store: Store) -> None:
    with pytest.raises(ConfigurationError, match="no store"):
        pruned()
    opened_store.folder()
    assert pruned().removed == 0
    assert not (opened_store.root / "mlflow.db").exists()


@pytest.mark.parametrize("values", [{"keep_runs": 0}, {"max_age_days": 13.9}, {"max_age_days": 3651}, {"keep_run": 1}])
def test_nonsense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        RetentionConfig.model_validate(values)
