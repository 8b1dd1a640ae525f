"""What is to be thought of each drop: looked at alone, and against the base and the drops before it.

Plain comparisons of the figures in `tasks.validate.statistics`: Great Expectations would take half a second a drop. A
bad drop is a result here and never an error. Every check is a function of a `_Candidate`; one that compares a drop's
distribution with that of the base would be one more in `CHECKS`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.validate.config import ValidateConfig
from tasks.validate.statistics import image_table
from tasks.validate.suite import MIN_CONTRAST
from tasks.values.dataset import RawDataset
from tasks.values.drops import MAX_NAMED, Drop
from tasks.values.validation import DropCheck, DropVerdict, Severity

FLOOD_FROM = 50
"""Images from which on the shares of the classes say something."""


@dataclass(frozen=True)
class _Reference:
    """What was there before a drop.

    Attributes:
        base: The base's table, train and test.
        test: Digests of the test images.
        known: The label of each training image of the base and of the good drops before, by its digest; it grows.
    """

    base: pd.DataFrame
    test: frozenset[str]
    known: dict[str, int]


@dataclass(frozen=True)
class _Candidate:
    """One drop as the checks see it.

    Attributes:
        table: A row an image, the columns of `statistics.COLUMNS`; not empty.
        names: Where each image came from.
        reference: What was there before.
    """

    drop: Drop
    table: pd.DataFrame
    names: Sequence[str]
    class_names: tuple[str, ...]
    reference: _Reference
    config: ValidateConfig

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class, in the order of the labels."""
        return np.bincount(self.table["label"].to_numpy(), minlength=len(self.class_names))

    @property
    def label_by_digest(self) -> dict[str, int]:
        """The label of each image, by the digest of its pixels."""
        return dict(zip(self.table["digest"], self.table["label"].astype(int), strict=True))

    def faults(self, name: str, expected: str, found: NDArray[np.bool_], max_share: float | None = None) -> DropCheck:
        """A check that some images may fail: a warning up to a share of them, critical beyond."""
        allowed = self.config.max_drop_fault_share if max_share is None else max_share
        count = int(found.sum())
        observed = f"{count:,} of {len(found):,} images" if count else "none"
        return DropCheck(
            name=name,
            severity="critical" if count > allowed * len(found) else "warning",
            passed=not count,
            observed=observed,
            expected=expected,
            num_images=count,
            files=tuple(self.names[index] for index in np.flatnonzero(found)[:MAX_NAMED]),
        )


def judge(dataset: RawDataset, base: pd.DataFrame, config: ValidateConfig) -> tuple[DropVerdict, ...]:
    """Judge each drop, in order; a good one is then among what the next is compared with.

    Args:
        dataset: With the drops.
        base: The image table of its base, train and test.
        config: The bounds.

    Returns:
        One verdict a drop.

    Raises:
        StoreError: if a drop's artifact is missing or damaged.
    """
    if not dataset.drops:
        return ()
    train, test = (base[base["split"] == split] for split in ("train", "test"))
    known: dict[str, int] = dict(zip(train["digest"], train["label"].astype(int), strict=True))
    reference = _Reference(base, frozenset(test["digest"]), known)
    verdicts: list[DropVerdict] = []
    for drop in dataset.drops:
        checks = [_as_a_whole(drop), _readable(drop, config.max_drop_fault_share)]
        candidate = _candidate(drop, dataset.class_names, reference, config) if drop.num_images else None
        if candidate is not None:
            checks += [check(candidate) for check in CHECKS]
        counts = candidate.counts if candidate is not None else np.zeros(len(dataset.class_names), np.int64)
        verdicts.append(DropVerdict(digest=drop.digest, num_images=tuple(counts.tolist()), checks=tuple(checks)))
        if candidate is not None and verdicts[-1].good:
            known.update(candidate.label_by_digest)
    return tuple(verdicts)


def _candidate(drop: Drop, class_names: tuple[str, ...], reference: _Reference, config: ValidateConfig) -> _Candidate:
    folder = store.current().fetch(drop.artifact)
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / "labels.npy", mmap_mode="r", allow_pickle=False)
    names = json.loads((folder / "names.json").read_text())
    return _Candidate(drop, image_table(images, labels, drop.name), names, class_names, reference, config)


def _as_a_whole(drop: Drop) -> DropCheck:
    empty = "no image could be read" if not drop.num_images else None
    return DropCheck(
        name="readable drop",
        severity="critical",
        passed=drop.problem is None and empty is None,
        observed=drop.problem or empty or "as expected",
        expected="images and labels in one of the formats",
    )


def _readable(drop: Drop, max_share: float) -> DropCheck:
    total = drop.num_images + drop.num_unreadable
    severity: Severity = "critical" if drop.num_unreadable > max_share * total else "warning"
    reasons = [f"{item.name}: {item.reason}" for item in drop.unreadable]
    return DropCheck(
        name="readable files",
        severity=severity,
        passed=not drop.num_unreadable,
        observed=f"{drop.num_unreadable:,} of {total:,} could not be read, such as {reasons[0]}" if reasons else "all",
        expected="each file gives an image",
        num_images=drop.num_unreadable,
        files=tuple(reasons),
    )


def _other_files(candidate: _Candidate) -> DropCheck:
    ignored = candidate.drop.ignored
    return DropCheck(
        name="other files",
        severity="info",
        passed=not ignored,
        observed=f"left alone, such as {ignored[0]}" if ignored else "none",
        expected="images and a table alone",
        files=ignored,
    )


def _blank(candidate: _Candidate) -> DropCheck:
    contrast = candidate.table["contrast"].to_numpy()
    return candidate.faults("blank images", f"at least {MIN_CONTRAST:g} levels of contrast", contrast < MIN_CONTRAST)


def _test_images(candidate: _Candidate) -> DropCheck:
    found = candidate.table["digest"].isin(candidate.reference.test).to_numpy()
    return candidate.faults("test images", "none of the published test images", found, max_share=0.0)


def _duplicates(candidate: _Candidate) -> DropCheck:
    found = candidate.table["digest"].duplicated().to_numpy()
    return candidate.faults("duplicates within the drop", "each image once", found)


def _copies(candidate: _Candidate) -> DropCheck:
    found = candidate.table["digest"].isin(candidate.reference.known.keys()).to_numpy()
    return candidate.faults("images that are there already", "none of the base's or of an earlier drop's", found)


def _contradictions(candidate: _Candidate) -> DropCheck:
    table = candidate.table
    before = table["digest"].map(candidate.reference.known)
    within = table.groupby("digest")["label"].transform("nunique") > 1
    found = (before.notna() & (before != table["label"])) | within
    return candidate.faults("contradictory labels", "equal images have equal labels", found.to_numpy())


def _class_share(candidate: _Candidate) -> DropCheck:
    counts = candidate.counts
    share, largest = counts.max() / counts.sum(), candidate.class_names[int(counts.argmax())]
    bound = candidate.config.max_drop_class_share
    return DropCheck(
        name="share of a class",
        severity="critical",
        passed=bool(counts.sum() < FLOOD_FROM or share <= bound),
        observed=f"{largest} {share:.1%}",
        expected=f"at most {bound:.0%}, from {FLOOD_FROM} images on",
        num_images=int(counts.max()),
    )


def _classes(candidate: _Candidate) -> DropCheck:
    missing = [name for name, count in zip(candidate.class_names, candidate.counts, strict=True) if not count]
    return DropCheck(
        name="classes",
        severity="info",
        passed=not missing,
        observed=f"missing {', '.join(missing)}" if missing else "all",
        expected="all ten",
    )


CHECKS: tuple[Callable[[_Candidate], DropCheck], ...] = (
    _test_images,
    _copies,
    _contradictions,
    _duplicates,
    _blank,
    _class_share,
    _classes,
    _other_files,
)
