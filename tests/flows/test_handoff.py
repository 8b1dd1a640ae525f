"""The bundle of a registered model, in whole runs on practice images."""

from pathlib import Path
from typing import Any

import pytest

from cnn_model import bundle
from flows.execution import StepFailedError
from tasks import child
from tasks.errors import ChildError
from tasks.ledger import Ledger
from tasks.report.summary import Summary
from tests.flows.conftest import SMALL, FinishedRun, retrain_in, shown

OTHER_SEED = {**SMALL["train"], "seed": 2}
FORCED = {"policy": "force", "reason": "to see its bundle", "actor": "a test"}


def beside(summary: Summary) -> dict[str, str]:
    """How export and bundle went, where they were reached."""
    return {name: step.outcome for name, step in summary.steps.items() if name in ("export", "bundle")}


def test_a_first_run_makes_the_bundle(first_run: FinishedRun) -> None:
    made = first_run.summary.bundle
    assert made is not None
    assert Path(made.folder) == first_run.store / "bundles" / "practice-cnn" / "version-000001"
    manifest, digest = bundle.check(Path(made.archive))
    assert (digest, manifest.title, manifest.practice) == (made.digest, "practice-cnn version 1", True)
    assert manifest.exports.onnx.largest_difference <= manifest.exports.onnx.tolerance
    assert beside(first_run.summary) == {"export": "ran", "bundle": "ran"}
    assert f"Bundle   {made.archive}" in shown(first_run.summary)


def test_nothing_new_keeps_the_bundle_and_a_damaged_one_is_made_again(filled_store: Path) -> None:
    archive = filled_store / "bundles" / "practice-cnn" / "version-000001.tar.gz"
    before = archive.stat()
    second = retrain_in(filled_store)
    assert (second.outcome, beside(second)) == ("unchanged", {})
    assert second.bundle is not None
    assert Path(second.bundle.archive) == archive
    assert (archive.stat().st_mtime_ns, archive.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

    model = Path(second.bundle.folder) / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    third = retrain_in(filled_store)
    assert (third.outcome, beside(third)) == ("unchanged", {"export": "cached", "bundle": "ran"})
    assert third.bundle == second.bundle
    assert bundle.check(model.parent)[1] == second.bundle.digest


def test_an_export_that_fails_takes_no_promotion_back_and_is_made_up_for(
    filled_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = child.run

    def fail(verb: str, *arguments: Any, **options: Any) -> child.Event:
        if verb == "export":
            raise ChildError("The ONNX file gives probabilities that differ.")
        return run(verb, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(child, "run", fail)
        with pytest.raises(
            StepFailedError, match=r"export failed \(\w+\): The ONNX file .* differ\. Version 2 of "
        ) as caught:
            retrain_in(filled_store, train=OTHER_SEED, register=FORCED)
    assert str(caught.value).endswith(
        "is registered all the same, and the verdict stands (promoted); run again to have its bundle made."
    )
    failed = caught.value.summary
    assert failed is not None
    assert (failed.outcome, failed.champion_version, failed.bundle) == ("promoted", 2, None)
    assert beside(failed) == {"export": "failed"}
    assert failed.report is not None
    assert [entry.version for entry in Ledger(filled_store / "ledger" / "practice-cnn").entries()] == [1, 2]
    assert not (filled_store / "bundles" / "practice-cnn" / "version-000002").exists()

    again = retrain_in(filled_store, train=OTHER_SEED, register=FORCED)
    assert (again.outcome, beside(again)) == ("unchanged", {"export": "ran", "bundle": "ran"})
    assert again.bundle is not None
    card = (Path(again.bundle.folder) / "MODEL_CARD.md").read_text()
    assert "**Promoted** when it was registered." in card
    assert failed.verdict in card


def test_a_refused_model_has_a_bundle_as_well(filled_store: Path) -> None:
    refused = retrain_in(filled_store, train=OTHER_SEED, register={"policy": "never"})
    assert (refused.outcome, refused.champion_version) == ("refused", 1)
    assert refused.bundle is not None
    card = (Path(refused.bundle.folder) / "MODEL_CARD.md").read_text()
    assert f"**Not promoted** when it was registered.\n\n> {refused.verdict}" in card
