import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tasks.report.contents import ReportContents
from tasks.report.summary import SCHEMA, build_summary, json_schema, write_summary
from tasks.values.bundle import WrittenBundle


def written(contents: ReportContents, folder: Path, report: str | None = "runs/1/report.html") -> dict[str, Any]:
    """The summary as a program reads it, once it fits the schema that the repository holds."""
    document = json.loads(Path(write_summary(build_summary(contents, report), str(folder))).read_text("utf-8"))
    jsonschema.validate(document, json.loads(SCHEMA.read_text("utf-8")))
    assert isinstance(document, dict)
    return document


def test_schema_in_the_repository_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == json_schema(), (
        "run: python -m tasks.report.summary > tasks/report/summary.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_summary_of_a_promoted_run(promoted: ReportContents, tmp_path: Path) -> None:
    summary = written(promoted, tmp_path)
    assert promoted.dataset is not None
    assert summary["outcome"] == "promoted"
    assert summary["verdict"].startswith("Version 3 was promoted")
    assert summary["source"] == {"asked": "auto", "resolved": "the official archive"}
    assert summary["dataset"]["digest"] == promoted.dataset.artifact.digest
    assert summary["metrics"]["accuracy"] == {"value": 0.9, "low": 0.799, "high": 0.953}
    assert summary["label_issues"] == {"num_images": 90, "num_suspects": 3}
    assert summary["metrics"]["accuracy_without_label_issues"] == {"value": 0.931, "low": 0.8357, "high": 0.9729}
    assert summary["metrics"]["accuracy_without_near_duplicates"] == {"value": 0.8947, "low": 0.7887, "high": 0.9508}
    assert summary["dataset"]["num_test_images_in_train"] == 3
    assert summary["metrics"]["loss"] == {"value": 0.41, "low": None, "high": None}
    assert (summary["model_name"], summary["model_version"], summary["champion_version"]) == ("cifar10-cnn", 3, 3)
    assert summary["report"] == "runs/1/report.html"


def test_summary_has_all_seven_steps(promoted: ReportContents, tmp_path: Path) -> None:
    steps = written(promoted, tmp_path)["steps"]
    assert list(steps) == ["ingest", "validate", "preprocess", "train", "evaluate", "register", "report"]
    assert steps["preprocess"] == {
        "outcome": "cached",
        "seconds": 2.5,
        "peak_memory_bytes": 600 * 2**20,
        "error": None,
    }


def test_summary_names_the_bundle(promoted: ReportContents, tmp_path: Path) -> None:
    assert written(promoted, tmp_path)["bundle"] is None
    bundle = {"folder": "b/version-000003", "archive": "b/version-000003.tar.gz", "digest": "ab" * 32}
    handed = promoted.model_copy(update={"bundle": WrittenBundle.model_validate(bundle)})
    assert written(handed, tmp_path)["bundle"] == bundle


def test_summary_has_both_starts(warm: ReportContents, promoted: ReportContents, tmp_path: Path) -> None:
    summary = written(warm, tmp_path)
    assert summary["starts"] == [
        {
            "start": "cold",
            "validation_accuracy": pytest.approx(1 - 0.65 / 3),
            "validation_loss": pytest.approx(1.6 / 3),
            "epochs": 3,
            "seconds": 7.5,
            "chosen": True,
        },
        {
            "start": "champion version 2",
            "validation_accuracy": pytest.approx(1 - 0.65 / 2),
            "validation_loss": pytest.approx(1.6 / 2),
            "epochs": 2,
            "seconds": 7.5,
            "chosen": False,
        },
    ]
    assert list(summary["steps"])[3:5] == ["train", "warm start"]
    assert written(promoted, tmp_path)["starts"] == []


def test_summary_says_when_the_model_was_trained_and_why_not_now(
    unchanged: ReportContents, promoted: ReportContents, tmp_path: Path
) -> None:
    assert written(unchanged, tmp_path)["training"] == {
        "seed": 20261118,
        "trained_at": "2026-11-18T06:00:00+00:00",
        "age_days": 3.0,
        "in_this_run": False,
        "forced": False,
        "sentence": "Trained 3 days ago with seed 20261118 on the same data, by the same recipe and code; "
        "max_model_age_days is 30.",
    }
    assert written(promoted, tmp_path)["training"] is None


def test_the_same_model_from_a_new_training_is_called_so(unchanged: ReportContents) -> None:
    assert unchanged.training is not None
    again = unchanged.training.model_copy(update={"in_this_run": True})
    forced = again.model_copy(update={"forced": True})
    first, second = (unchanged.model_copy(update={"training": one}).training_sentence for one in (again, forced))
    assert first == "Trained in this run with seed 20261118. The model came out the same to the bit."
    assert second == f"{first} Another seed, or `date`, gives another one."


def test_summary_of_a_failed_run_names_the_cause(failed: Callable[..., ReportContents], tmp_path: Path) -> None:
    summary = written(failed("The archive is cut off."), tmp_path, report=None)
    assert summary["outcome"] == "failed"
    assert summary["verdict"] == "The run failed in ingest; no model was promoted."
    assert summary["steps"]["ingest"]["error"] == "The archive is cut off."
    assert summary["dataset"] is summary["metrics"] is summary["model_version"] is summary["report"] is None


def test_summary_of_data_that_were_refused_counts_no_near_duplicates(
    stopped_by_validation: ReportContents, tmp_path: Path
) -> None:
    assert written(stopped_by_validation, tmp_path)["dataset"]["num_test_images_in_train"] is None


def test_writing_replaces_the_summary_and_leaves_nothing_beside_it(promoted: ReportContents, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    written(promoted, folder)
    written(promoted, folder)
    assert [path.name for path in folder.iterdir()] == ["summary.json"]
