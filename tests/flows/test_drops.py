"""Labelled drops through the whole flow, on practice images."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import PLANTS, Material
from flows import intake
from flows.execution import StepFailedError, Steps
from flows.retraining import main
from flows.terminal import Terminal
from tasks.ingest import records
from tasks.ingest.config import IngestConfig
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.ingest.synthetic import CLASS_NAMES
from tasks.report.summary import Summary
from tasks.values.execution import STEP_NAMES
from tests.drops import Arrays, drop_pictures, drop_records, drop_table, noise
from tests.flows.conftest import SMALL, FinishedRun, retrain_in


def run(store: Path, drops: Path, **parameters: object) -> Summary:
    return retrain_in(store, **{"ingest": {**SMALL["ingest"], "drops": str(drops)}, **parameters})


def states(summary: Summary) -> dict[str, str]:
    return {drop.name: drop.state for drop in summary.drops}


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    """One good drop in each format, a bad one, and one that is still being written."""
    folder = tmp_path / "drops"
    drop_records(folder / "records", noise(40, seed=1))
    drop_pictures(folder / "pictures", noise(40, seed=2), CLASS_NAMES)
    drop_pictures(folder / "photographs", noise(40, seed=3), CLASS_NAMES, suffix=".jpg")
    drop_table(folder / "table", noise(40, seed=4), CLASS_NAMES)
    images, labels = noise(40, seed=5)
    drop_records(folder / "blank", (images * 0, labels))
    (drop_records(folder / "late", noise(40, seed=6)) / "_SUCCESS").unlink()
    return folder


def splits_of(store: Path) -> Path:
    """The splits that were made last."""
    return max((path.parent for path in store.rglob("validation_images.npy")), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.timeout(600)
def test_drops_from_their_arrival_to_the_next_run(filled_store: Path, first_run: FinishedRun, drops: Path) -> None:
    before = splits_of(filled_store)
    summary = run(filled_store, drops)
    good = ("photographs", "pictures", "records", "table")
    assert states(summary) == {**dict.fromkeys(good, "accepted"), "blank": "quarantined", "late": "waiting"}
    assert summary.outcome in ("promoted", "refused")
    assert summary.dataset is not None
    assert first_run.summary.dataset is not None
    assert summary.dataset.digest != first_run.summary.dataset.digest
    assert (summary.dataset.num_train_images, summary.dataset.num_dropped_images) == (400, 160)
    assert summary.drops[0].num_images == (dict.fromkeys(CLASS_NAMES, 4) if summary.drops[0].name != "late" else {})
    reason = json.loads((drops / "_quarantine" / "blank" / "reason.json").read_text())
    assert reason["reason"].startswith("blank images: 40 of 40 images")
    assert summary.report is not None
    assert "blank images: 40 of 40 images" in Path(summary.report).read_text()

    after = splits_of(filled_store)
    sizes = {}
    for split in ("train", "validation", "calibration", "test"):
        old, new = (np.load(folder / f"{split}_images.npy") for folder in (before, after))
        np.testing.assert_array_equal(new[: len(old)], old)  # the base is split as before
        assert len(new) == len(np.load(after / f"{split}_labels.npy"))
        sizes[split] = len(new) - len(old)
    assert sum(sizes.values()) == 160
    assert sizes["test"] == 0

    # The bad one is gone from the list; nothing else is new, and nothing is trained.
    again = run(filled_store, drops)
    assert again.outcome == "unchanged"
    assert [again.steps[step].outcome for step in ("preprocess", "train", "evaluate")] == ["cached"] * 3
    assert again.dataset == summary.dataset
    assert states(again) == {**dict.fromkeys(good, "accepted"), "late": "waiting"}
    third = run(filled_store, drops)
    assert [third.steps[step].outcome for step in STEP_NAMES] == ["cached"] * 5 + ["ran"] * 2

    # The same content again, and a drop that is complete by now.
    shutil.copytree(drops / "records", drops / "a copy", ignore=shutil.ignore_patterns("receipt.json"))
    (drops / "late" / "_SUCCESS").touch()
    last = run(filled_store, drops)
    assert states(last) == {**dict.fromkeys((*good, "late"), "accepted"), "a copy": "repeated"}
    assert last.dataset is not None
    assert last.dataset.num_dropped_images == 200


def test_a_bad_drop_can_stop_the_run(filled_store: Path, drops: Path) -> None:
    before = sorted(drops.rglob("*"))
    with pytest.raises(
        StepFailedError, match=r"validate failed \(\w+\): 1 of 6 drops .*blank: blank images: 40 of 40"
    ) as caught:
        run(filled_store, drops, validate={"on_bad_drop": "fail"})
    summary = caught.value.summary
    assert summary is not None
    assert (summary.outcome, summary.steps["train"].outcome) == ("failed", "not_run")
    assert states(summary)["blank"] == "refused"
    assert [path for path in sorted(drops.rglob("*")) if not path.name.startswith(".")] == before
    assert summary.report is not None
    assert "refused" in Path(summary.report).read_text()


def test_published_test_images_do_not_come_back_as_training_data(filled_store: Path, tmp_path: Path) -> None:
    splits = splits_of(filled_store)
    images, labels = (np.load(splits / f"test_{kind}.npy") for kind in ("images", "labels"))
    drop_records(tmp_path / "drops" / "leak", (images[:5], labels[:5]))
    summary = run(filled_store, tmp_path / "drops")
    assert states(summary) == {"leak": "quarantined"}
    assert "test images: 5 of 5 images" in summary.drops[0].reason
    assert summary.outcome == "unchanged"


def test_changed_copies_of_known_images_flatter_no_figure(
    filled_store: Path, first_run: FinishedRun, tmp_path: Path
) -> None:
    before = splits_of(filled_store)
    images, labels = noise(100)
    originals = {}
    for number, split in enumerate(("test", "train", "validation", "calibration")):
        originals[split] = np.load(before / f"{split}_images.npy")[:3]
        images[3 * number : 3 * number + 3] = originals[split][:, :, ::-1]
    drop_records(tmp_path / "drops" / "mirrored", (images, labels))
    summary = run(filled_store, tmp_path / "drops")
    assert states(summary) == {"mirrored": "accepted"}
    assert set(summary.drops[0].failed_checks) == {
        "near-duplicates of test images",
        "near-duplicates of what is there already",
        "likeness",
    }
    assert first_run.summary.dataset is not None
    assert summary.dataset is not None
    counts = [run.dataset.num_test_images_in_train for run in (first_run.summary, summary) if run.dataset is not None]
    assert None not in counts
    assert counts[1] == (counts[0] or 0) + 3
    after = splits_of(filled_store)
    for split in ("train", "validation", "calibration"):
        old, new = (np.load(folder / f"{split}_images.npy") for folder in (before, after))
        np.testing.assert_array_equal(new[: len(old)], old)
        added = {image.tobytes() for image in new[len(old) :]}
        assert {image[:, ::-1].tobytes() for image in originals[split]} <= added
    assert summary.report is not None
    assert "mirrored/batch.bin" in Path(summary.report).read_text()


def test_a_kill_between_the_reason_and_the_move_is_made_good(
    filled_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = noise(40)
    drop_records(tmp_path / "drops" / "blank", (images * 0, labels))

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.ingest.drop_folder.DropFolder.quarantine", killed)
        with pytest.raises(KeyboardInterrupt):
            run(filled_store, tmp_path / "drops")
    assert (tmp_path / "drops" / "blank" / "reason.json").exists()
    summary = run(filled_store, tmp_path / "drops")
    assert states(summary) == {"blank": "quarantined"}
    assert summary.steps["validate"].outcome == "cached"
    assert (tmp_path / "drops" / "_quarantine" / "blank" / "reason.json").exists()
    assert not (tmp_path / "drops" / "blank").exists()


def test_a_folder_that_is_not_there_is_a_wrong_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--source", "synthetic", "--store", str(tmp_path / "store"), "--ingest.drops", str(tmp_path / "drops")])
    assert caught.value.code == 2
    assert "--ingest.drops is" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_a_url_is_a_wrong_option_as_far_as_it_shows_without_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--source", "synthetic", "--store", str(tmp_path / "store"), "--ingest.drops", "s3://"])
    assert caught.value.code == 2
    assert "The URL 's3://' names no bucket" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_practice_images_that_nobody_asked_for_ask_nothing_of_object_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nothing answers
    source = Source(kind="synthetic", fallback_reason="No host can be reached.")
    with intake.opened(Steps(Terminal()), source, IngestConfig(drops="s3://team/drops")) as arrivals:
        assert arrivals == Arrivals()


def test_a_deployment_on_practice_images_leaves_the_teams_drops_alone(
    filled_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its drops are a default that whoever asks for practice images has not thought of; by their names all are bad."""
    folder = drop_pictures(tmp_path / "drops" / "berlin", noise(40, seed=1))
    before = sorted(path.name for path in folder.rglob("*"))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a-deployment")
    summary = run(filled_store, tmp_path / "drops")
    assert (summary.outcome, summary.drops) == ("unchanged", ())
    assert [path.name for path in (tmp_path / "drops").iterdir()] == ["berlin"]
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert f"The drops in {tmp_path / 'drops'} stay as they are: this run is on practice images" in caplog.text


def test_a_deployment_on_other_images_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_pictures(tmp_path / "berlin", noise(40, seed=1))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a-deployment")
    with intake.opened(
        Steps(Terminal()), Source(kind="official", digest="ab" * 32), IngestConfig(drops=str(tmp_path))
    ) as arrivals:
        assert [drop.name for drop in arrivals.drops] == ["berlin"]


@pytest.mark.real_data
@pytest.mark.timeout(1800)
def test_of_real_drops_the_good_one_is_taken_and_each_faulty_one_refused(tmp_path: Path, prefect_server: None) -> None:
    given = folder_of(os.environ["CIFAR10_SOURCE"], tmp_path / "given")
    source, rng = tmp_path / "base", np.random.default_rng(0)
    source.mkdir()
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        shutil.copy(given / name, source)
    held_out, one, test = (decoded(given / f"{name}.bin") for name in ("data_batch_5", "data_batch_1", "test_batch"))
    drops = tmp_path / "drops"
    drop_records(drops / "good", (held_out[0][:1_000], held_out[1][:1_000]))
    material = Material(*held_out, np.arange(1_000, 10_000), *one, *test)
    for name, plant, _ in PLANTS:
        draft = material.draw(1_000, rng)
        plant(material, draft, 200, rng)
        folder = drop_pictures(drops / name, (draft.images, draft.labels))
        for path in sorted(folder.rglob("*.png"))[: draft.num_unreadable]:
            path.write_bytes(path.read_bytes()[:100])
    summary = run(
        tmp_path / "store",
        drops,
        source=str(source),
        ingest={"drops": str(drops), "allow_unofficial": True},
        train={"recipe": "sprint"},
    )
    expected = {"good": "accepted", **{name: "quarantined" for name, *_ in PLANTS}}
    assert states(summary) == expected
    reasons = {drop.name: drop.reason for drop in summary.drops}
    for name, _, checks in PLANTS:
        assert any(check in reasons[name] for check in checks), (name, reasons[name])
    assert "drift" not in reasons["blank or constant"] + reasons["0 to 1 stored as bytes"]
    assert summary.dataset is not None
    assert (summary.dataset.num_train_images, summary.dataset.num_dropped_images) == (20_000, 1_000)


def folder_of(source: str, target: Path) -> Path:
    """The official archive's `.bin` files, unpacked if they are not yet."""
    if Path(source).is_dir():
        return next(Path(source).rglob("test_batch.bin")).parent
    with tarfile.open(source) as archive:
        archive.extractall(target, filter="data")
    return next(target.rglob("test_batch.bin")).parent


def decoded(path: Path) -> Arrays:
    """Images and labels of a file of records."""
    found = records.parse(path.read_bytes(), path.name)
    return found.images, found.labels
