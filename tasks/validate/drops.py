"""What is to be thought of each drop: looked at alone, against what was there before, and against its baselines.

A bad drop is a result here and never an error. Every check of single images, or of the drop as a whole, is a function
of a `Candidate` that gives a `Finding`; Great Expectations holds the findings against their bounds.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.validate.config import ValidateConfig
from tasks.validate.drop_suite import Finding, run_drop_checks
from tasks.validate.likeness import Likeness
from tasks.validate.near_duplicates import Batch, Search
from tasks.validate.statistics import image_table
from tasks.validate.suite import MIN_CONTRAST
from tasks.values.dataset import RawDataset
from tasks.values.drops import MAX_NAMED, Drop
from tasks.values.pixels import pixel_sha256
from tasks.values.validation import DropVerdict

Images = NDArray[np.uint8]

MAX_COMPARED = 20_000
"""Images of a large drop that are compared with its baselines: more tell hardly more, and take memory."""

MAX_NEAR_TEST_SHARE = 0.05
MAX_NEAR_TEST_IMAGES = 5
"""Near-duplicates of test images that may come by chance: this share of a drop, and of a small one this many. Of twelve
samples of 1,000 of CIFAR-10's training images 1.2 % are such, and at most 1.8 % of one sample."""

MAX_NEAR_KNOWN_SHARE = 0.1
"""Near-duplicates of training images that may come by chance; of the same samples 3.7 %, and at most 4.8 %."""


@dataclass(frozen=True)
class Reference:
    """What was there before a drop.

    Attributes:
        test: Digests of the test images, published and extra.
        known: The label of each training image of the base and of the good drops before, by its digest; it grows. For
            the extra test images, that of each published test image.
        search: Finds near-duplicates among the base and the good drops before, and grows likewise.
        extra: Finds them among the extra test images; None where there are none.
    """

    test: frozenset[str]
    known: dict[str, int]
    search: Search
    extra: Search | None = None


@dataclass(frozen=True)
class Candidate:
    """One drop as the checks see it.

    Attributes:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8; not empty.
        labels: ndarray of shape (num_images,).
        table: A row an image, the columns of `statistics.COLUMNS`.
        names: Where each image came from.
        batch: Its near-duplicates.
        reference: What was there before.
    """

    drop: Drop
    images: Images
    labels: NDArray[np.int64]
    table: pd.DataFrame
    names: Sequence[str]
    batch: Batch
    reference: Reference
    config: ValidateConfig

    @property
    def label_by_digest(self) -> dict[str, int]:
        """The label of each image, by the digest of its pixels."""
        return dict(zip(self.table["digest"], self.labels.tolist(), strict=True))

    @property
    def shown(self) -> NDArray[np.bool_]:
        """On which images something is to be seen. The others are found as such, and nothing more is said of them."""
        return ~(_of_zero_to_one(self.table) | _of_no_contrast(self.table))

    def near(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which images, repeats within the drop included, have a near-duplicate among those of the search's indices."""
        digests = self.table["digest"]
        return digests.isin(digests[self.batch.near(first, last)]).to_numpy()

    def faults(
        self, name: str, expected: str, found: NDArray[np.bool_], advice: str, max_share: float | None = None
    ) -> Finding:
        """A finding on single images: told if there is one, bad beyond a share of them."""
        count = int(found.sum())
        return Finding(
            name=name,
            observed=f"{count:,} of {len(found):,} images" if count else "none",
            expected=expected,
            advice=advice,
            figure=count / len(found),
            bad_above=self.config.max_drop_fault_share if max_share is None else max_share,
            num_images=count,
            images=tuple(np.flatnonzero(found)[:MAX_NAMED].tolist()),
        )


def judge(
    dataset: RawDataset, base: pd.DataFrame, search: Search, likeness: Likeness, config: ValidateConfig
) -> tuple[DropVerdict, ...]:
    """Judge each drop, in order; a good one is then among what the next is compared with.

    Args:
        dataset: With the drops.
        base: The image table of its base, train and test.
        search: Knows the base, and afterwards the good drops too.
        likeness: Compares each drop with its baselines.
        config: The bounds.

    Returns:
        One verdict a drop.

    Raises:
        StoreError: if the artifact of a drop or of a baseline is missing or damaged.
    """
    if not dataset.drops:
        return ()
    train, test = (base[base["split"] == split] for split in ("train", "test"))
    known: dict[str, int] = dict(zip(train["digest"], train["label"].astype(int), strict=True))
    extra = _images(dataset.extra_test)
    reference = Reference(
        test=frozenset(test["digest"]) | {pixel_sha256(image) for image in extra},
        known=known,
        search=search,
        extra=Search(extra, extra[:0]) if len(extra) else None,
    )
    verdicts: list[DropVerdict] = []
    for drop in dataset.drops:
        findings = [as_a_whole(drop), readable(drop, config.max_drop_fault_share), other_files(drop)]
        candidate = read_candidate(drop, reference, config) if drop.num_images else None
        if candidate is not None:
            findings += [check(candidate) for check in CHECKS]
            findings += _likeness(candidate, likeness)
        counts = np.bincount(candidate.labels if candidate else [], minlength=len(dataset.class_names))
        checks = run_drop_checks(findings, candidate.names if candidate is not None else ())
        verdicts.append(DropVerdict(digest=drop.digest, num_images=tuple(counts.tolist()), checks=checks))
        if candidate is not None and verdicts[-1].good:
            known.update(candidate.label_by_digest)
            search.keep(candidate.batch)
    return tuple(verdicts)


def _likeness(candidate: Candidate, likeness: Likeness) -> list[Finding]:
    shown = np.flatnonzero(candidate.shown)
    places = np.sort(np.random.default_rng(0).permutation(shown)[:MAX_COMPARED])
    table, labels = candidate.table.iloc[places], candidate.labels[places]

    def of_all(finding: Finding) -> Finding:
        count = finding.num_images
        return replace(
            finding,
            num_images=None if count is None else round(count * len(shown) / len(places)),
            images=tuple(int(places[place]) for place in finding.images),
        )

    return [*map(of_all, likeness.findings(candidate.drop, table, candidate.images[places], labels))]


def _images(drop: Drop | None) -> Images:
    """Those of a drop; none of no drop."""
    if drop is None:
        return np.empty((0, 32, 32, 3), np.uint8)
    images: Images = np.load(store.current().fetch(drop.artifact) / "images.npy", mmap_mode="r", allow_pickle=False)
    return images


def read_candidate(drop: Drop, reference: Reference, config: ValidateConfig) -> Candidate:
    """Fetch a drop and describe its images.

    Raises:
        StoreError: if its artifact is missing or damaged.
    """
    folder = store.current().fetch(drop.artifact)
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / "labels.npy", mmap_mode="r", allow_pickle=False)
    names = json.loads((folder / "names.json").read_text())
    table, batch = image_table(images, labels, drop.name), reference.search.look(images)
    return Candidate(drop, images, labels.astype(np.int64), table, names, batch, reference, config)


def as_a_whole(drop: Drop) -> Finding:
    """Whether the files could be made anything of."""
    problem = drop.problem or ("no image could be read" if not drop.num_images else None)
    return Finding(
        name="readable drop",
        observed=problem or "as expected",
        expected="images and labels in one of the formats",
        advice="Send it again in one of the formats of docs/drops.md.",
        figure=float(problem is not None),
        bad_above=0.0,
    )


def readable(drop: Drop, max_share: float) -> Finding:
    """Which files gave no image; bad beyond a share of them."""
    total = drop.num_images + drop.num_unreadable
    reasons = [f"{item.name}: {item.reason}" for item in drop.unreadable]
    return Finding(
        name="readable files",
        observed=f"{drop.num_unreadable:,} of {total:,} could not be read, such as {reasons[0]}" if reasons else "all",
        expected="each file gives an image",
        advice="Look at the files that are named: cut off on the way, of another kind, or not there.",
        figure=drop.num_unreadable / max(total, 1),
        bad_above=max_share,
        num_images=drop.num_unreadable,
        files=tuple(reasons),
    )


def other_files(drop: Drop) -> Finding:
    """Which files were left alone."""
    return Finding(
        name="other files",
        observed=f"left alone, such as {drop.ignored[0]}" if drop.ignored else "none",
        expected="images and a table alone",
        advice="If they hold images, send these in one of the formats of docs/drops.md.",
        figure=float(bool(drop.ignored)),
        told_as="info",
        files=drop.ignored,
    )


def _test_images(candidate: Candidate) -> Finding:
    found = candidate.table["digest"].isin(candidate.reference.test).to_numpy()
    advice = "Take them out: a model that has learned its test images cannot be judged by them."
    return candidate.faults("test images", "no test image, published or extra", found, advice, max_share=0.0)


def _near_test(candidate: Candidate) -> Finding:
    search = candidate.reference.search
    near = candidate.near(search.num_train_images, search.num_base_images)
    extra = candidate.reference.extra
    if extra is not None:
        near = near | extra.look(candidate.images).near(0, extra.num_train_images)
    found = near & ~candidate.table["digest"].isin(candidate.reference.test).to_numpy()
    finding = candidate.faults(
        "near-duplicates of test images",
        f"few, as by chance: at most {MAX_NEAR_TEST_SHARE:.0%} or {MAX_NEAR_TEST_IMAGES} images",
        found,
        "Take the copies of test images out, mirrored, cropped or compressed again as they may be.",
        max(MAX_NEAR_TEST_SHARE, MAX_NEAR_TEST_IMAGES / len(found)),
    )
    return replace(finding, told_as="info")


def _near_known(candidate: Candidate) -> Finding:
    search = candidate.reference.search
    near = candidate.near(0, search.num_train_images) | candidate.near(search.num_base_images, search.num_images)
    found = near & ~candidate.table["digest"].isin(candidate.reference.known.keys()).to_numpy()
    # Never bad: the next pictures of one camera are such, and being on one side they flatter no figure.
    finding = candidate.faults(
        "near-duplicates of what is there already",
        f"few, as by chance: at most {MAX_NEAR_KNOWN_SHARE:.0%}",
        found,
        "See whether an old drop was sent again, in other files; it teaches little that is new.",
        max_share=1.0,
    )
    return replace(finding, told_as="warning" if found.mean() > MAX_NEAR_KNOWN_SHARE else "info")


def _copies(candidate: Candidate) -> Finding:
    found = candidate.table["digest"].isin(candidate.reference.known.keys()).to_numpy()
    advice = "Send new images alone; what was taken once stays in the dataset."
    return candidate.faults(
        "images that are there already", "none of the base's or of an earlier drop's", found, advice
    )


def contradictions(candidate: Candidate) -> Finding:
    """Equal images with different labels."""
    table = candidate.table
    before = table["digest"].map(candidate.reference.known)
    within = table.groupby("digest")["label"].transform("nunique") > 1
    found = ((before.notna() & (before != table["label"])) | within).to_numpy() & candidate.shown
    advice = "Look which of the labels is right; one of the base is put right with --ingest.corrections."
    return candidate.faults("contradictory labels", "equal images have equal labels", found, advice)


def _duplicates(candidate: Candidate) -> Finding:
    found = candidate.table["digest"].duplicated().to_numpy() & candidate.shown
    return candidate.faults("duplicates within the drop", "each image once", found, "Send each image once.")


def wrong_scale(candidate: Candidate) -> Finding:
    """Images whose levels are 0 and 1."""
    advice = "Values of 0 to 1 were stored as bytes: multiply them by 255 before."
    return candidate.faults("wrong scale", "levels of 0 to 255", _of_zero_to_one(candidate.table), advice)


def blank(candidate: Candidate) -> Finding:
    """Images on which nothing is to be seen."""
    found = _of_no_contrast(candidate.table) & ~_of_zero_to_one(candidate.table)
    advice = "Nothing is to be seen on them: look at the program that wrote them."
    return candidate.faults("blank images", f"at least {MIN_CONTRAST:g} levels of contrast", found, advice)


def _of_zero_to_one(table: pd.DataFrame) -> NDArray[np.bool_]:
    return ((table["brightest"] <= 1) & (table["contrast"] > 0)).to_numpy()


def _of_no_contrast(table: pd.DataFrame) -> NDArray[np.bool_]:
    return (table["contrast"] < MIN_CONTRAST).to_numpy()


CHECKS: tuple[Callable[[Candidate], Finding], ...] = (
    _test_images,
    _near_test,
    wrong_scale,
    blank,
    _copies,
    _near_known,
    contradictions,
    _duplicates,
)
"""What single images show. Causes before what follows from them: blank images are duplicates as well."""
