"""What is to be thought of the images that are kept for testing only. They train nothing, so few things are fatal."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tasks.validate.config import ValidateConfig
from tasks.validate.drop_suite import Finding, run_drop_checks
from tasks.validate.drops import (
    Candidate,
    Reference,
    as_a_whole,
    blank,
    contradictions,
    other_files,
    read_candidate,
    readable,
    wrong_scale,
)
from tasks.validate.near_duplicates import Search
from tasks.values.dataset import RawDataset
from tasks.values.validation import Check, DataValidationError, DropVerdict


def judge_extra_test(
    dataset: RawDataset, base: pd.DataFrame, search: Search, config: ValidateConfig
) -> DropVerdict | None:
    """Judge the images that are kept for testing only; None where there are none.

    Args:
        dataset: With them.
        base: The image table of its base, train and test.
        search: Knows the base.
        config: The bounds.

    Raises:
        StoreError: if their artifact is missing or damaged.
    """
    drop = dataset.extra_test
    if drop is None:
        return None
    findings = [
        replace(as_a_whole(drop), name="readable folder"),
        readable(drop, config.max_drop_fault_share),
        other_files(drop),
    ]
    counts = np.zeros(len(dataset.class_names), np.int64)
    names: Sequence[str] = ()
    if drop.num_images:
        train, test = (base[base["split"] == split] for split in ("train", "test"))
        known = dict(zip(test["digest"], test["label"].astype(int), strict=True))
        # What is blank or there twice blurs a figure and trains nothing: it is told of, and stops no run.
        telling = config.model_copy(update={"max_drop_fault_share": 1.0})
        candidate = read_candidate(drop, Reference(frozenset(known), known, search), telling)
        findings += [_training_images(candidate, train), _near_training(candidate, train)]
        findings += [check(candidate) for check in CHECKS]
        counts = np.bincount(candidate.labels, minlength=len(dataset.class_names))
        findings.append(_classes(counts, dataset.class_names))
        names = candidate.names
    checks = run_drop_checks(findings, names)
    return DropVerdict(digest=drop.digest, num_images=tuple(counts.tolist()), checks=checks)


def require_good(verdict: DropVerdict, name: str, dataset_checks: Sequence[Check]) -> None:
    """See that a model may be scored on the extra test images.

    Args:
        verdict: On these.
        name: Of their folder.
        dataset_checks: Those of the dataset itself, for the report.

    Raises:
        DataValidationError: if a critical check failed; names each, with the first images.
    """
    if verdict.good:
        return
    parts = [
        f"{check.name}: observed {check.observed.rstrip('.')}, expected {check.expected}"
        + (f" ({', '.join(check.files[:3])})" if check.files else "")
        for check in verdict.failed
        if check.severity == "critical"
    ]
    # Their rows are those of another folder than the dataset's.
    own = [
        check.model_copy(update={"name": f"extra test images: {check.name}", "examples": ()})
        for check in verdict.checks
    ]
    raise DataValidationError(
        f"The extra test images in {name} cannot be used; {len(parts)} critical checks failed. {'; '.join(parts)}. "
        "Put the folder of --ingest.extra-test right; nothing was trained.",
        (*dataset_checks, *own),
    )


def _training_images(candidate: Candidate, train: pd.DataFrame) -> Finding:
    found = candidate.table["digest"].isin(train["digest"]).to_numpy()
    advice = "Take them out of the extra test images: the model has learned them."
    return candidate.faults("training images", "none of the base's training images", found, advice, max_share=0.0)


def _near_training(candidate: Candidate, train: pd.DataFrame) -> Finding:
    near = candidate.near(0, candidate.reference.search.num_train_images)
    found = near & ~candidate.table["digest"].isin(train["digest"]).to_numpy()
    advice = "Take them out: a photograph that the model has learned, whatever its form, flatters the accuracy."
    return candidate.faults("near-duplicates of training images", "none", found, advice)


def _published(candidate: Candidate) -> Finding:
    found = candidate.table["digest"].isin(candidate.reference.test).to_numpy()
    advice = "Take them out, or count them twice on purpose."
    return candidate.faults("published test images", "none: these are scored already", found, advice)


def _repeats(candidate: Candidate) -> Finding:
    found = candidate.table["digest"].duplicated().to_numpy()
    return candidate.faults("repeated images", "each image once", found, "Keep one of each.")


def _classes(counts: "np.ndarray[tuple[int], np.dtype[np.int64]]", class_names: Sequence[str]) -> Finding:
    missing = [name for name, count in zip(class_names, counts, strict=True) if not count]
    return Finding(
        name="classes",
        observed=f"missing {', '.join(missing)}" if missing else "all",
        expected="all ten",
        advice="Read the accuracy as one of the classes that are there.",
        figure=float(bool(missing)),
        told_as="info",
    )


CHECKS: tuple[Callable[[Candidate], Finding], ...] = (_published, contradictions, _repeats, wrong_scale, blank)
