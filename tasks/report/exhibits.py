"""What the page shows of artifacts and of the past. Each part may be unreadable; the page then says so in its place."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from markupsafe import Markup

from cnn_model.reliability import reliability
from tasks.errors import PipelineError
from tasks.report import charts, confusions
from tasks.report.charts import ModelBins
from tasks.report.config import ReportConfig
from tasks.report.confusions import Change, Matrix
from tasks.report.contents import ReportContents
from tasks.report.examples import Examples, dataset_examples, drop_examples
from tasks.report.flips import Flips, find_flips
from tasks.report.gallery import Gallery, ScoredImages, gallery
from tasks.report.history import PastAccuracy, past_accuracy
from tasks.report.label_issues import SuspectPicture, suspect_pictures
from tasks.report.near_duplicates import PairGallery, pair_gallery
from tasks.report.robustness import RobustnessTable, robustness_table
from tasks.values.opponents import ScoredChampion

logger = logging.getLogger(__name__)

T = TypeVar("T")

NUM_CHANGES = 10
"""Confusions named beside the matrix of differences."""


@dataclass(frozen=True)
class Shown(Generic[T]):
    """Something on the page.

    Attributes:
        value: None where there is no such thing, or where it cannot be read.
        excuse: Why it cannot be; else empty.
    """

    value: T | None
    excuse: str = ""

    def __bool__(self) -> bool:
        """Whether the page has something to say of it."""
        return self.value is not None or bool(self.excuse)


@dataclass(frozen=True)
class ConfusionChange:
    """How the confusion matrix differs from the champion's.

    Attributes:
        cells: Challenger minus champion.
        largest: The mistakes that changed most.
    """

    cells: Matrix
    largest: tuple[Change, ...]


@dataclass(frozen=True)
class Reliability:
    """How far the models' probabilities can be taken at their word; charts as `<svg>`."""

    models: tuple[ModelBins, ...]
    diagram: Markup
    gaps: Markup


@dataclass(frozen=True)
class Exhibits:
    """Everything that is read for one page.

    Attributes:
        opponent: The version that the model is shown beside; None where there is none.
        examples: Images of failed checks.
        drop_examples: Likewise by the name of the drop.
    """

    opponent: int | None
    pictures: Shown[Gallery]
    flips: Shown[Flips]
    confusion_change: Shown[ConfusionChange]
    reliability: Shown[Reliability]
    robustness: Shown[RobustnessTable]
    suspects: Shown[tuple[SuspectPicture, ...]]
    pairs: Shown[PairGallery]
    past: Shown[PastAccuracy]
    examples: Examples
    drop_examples: dict[str, Examples]


def read(contents: ReportContents, config: ReportConfig) -> Exhibits:
    """Read whatever there is, and why the rest cannot be."""
    scored = _shown("predictions", lambda: _own(contents))
    champion = contents.opponents.champion if contents.opponents is not None else None
    other = _shown("predictions of the champion", lambda: _of_champion(contents, champion))
    own, rival = scored.value, other.value
    excuse = scored.excuse or other.excuse
    both = (own, rival) if own is not None and rival is not None else None
    return Exhibits(
        opponent=champion.version if champion is not None else None,
        pictures=_from(own, scored.excuse, lambda found: _gallery(found, config)),
        flips=_from(both, excuse, lambda pair: find_flips(*pair, config.flips)),
        confusion_change=_from(both, excuse, lambda pair: _confusion_change(*pair)),
        reliability=_from(own, scored.excuse, lambda found: _reliability(found, rival, champion)),
        robustness=_shown("figures of robustness", lambda: _robustness(contents)),
        suspects=_shown("suspected labels", lambda: _suspects(contents, config)),
        pairs=_shown("near-duplicates", lambda: _pairs(contents, config)),
        past=_shown("history", lambda: past_accuracy(contents)),
        examples=_shown("images of failed checks", lambda: _examples(contents, config)).value or {},
        drop_examples=_shown("images of the drops' failed checks", lambda: _drop_examples(contents, config)).value
        or {},
    )


def _shown(name: str, read: Callable[[], T | None]) -> Shown[T]:
    """No fault of what is read costs a run its report."""
    try:
        return Shown(read())
    except (PipelineError, OSError, ValueError) as error:
        logger.warning("The report has no %s: %s", name, error)
        return Shown(None, str(error))


S = TypeVar("S")


def _from(source: S | None, excuse: str, make: Callable[[S], T]) -> Shown[T]:
    """What is made of something that was read, or not."""
    return Shown(None, excuse) if source is None else Shown(make(source))


def _own(contents: ReportContents) -> ScoredImages | None:
    if contents.splits is None or contents.evaluation is None:
        return None
    return ScoredImages(contents.splits, contents.evaluation.artifact)


def _of_champion(contents: ReportContents, champion: ScoredChampion | None) -> ScoredImages | None:
    if contents.splits is None or contents.evaluation is None or champion is None or champion.predictions is None:
        return None
    if champion.predictions.test_digest != contents.splits.test_digest:
        raise ValueError(
            f"The champion was scored on the test images {champion.predictions.test_digest[:12]}, this model on "
            f"{contents.splits.test_digest[:12]}; expected the same. Run again with --force to score both anew."
        )
    return ScoredImages(contents.splits, champion.predictions.artifact)


def _gallery(scored: ScoredImages, config: ReportConfig) -> Gallery:
    return gallery(
        scored,
        num_sample=config.sample_images,
        num_predictions=config.predictions,
        num_mistakes=config.worst_mistakes,
    )


def _confusion_change(own: ScoredImages, rival: ScoredImages) -> ConfusionChange:
    cells = confusions.difference(own, rival)
    return ConfusionChange(cells, confusions.largest_changes(cells, own.class_names, NUM_CHANGES))


def _reliability(own: ScoredImages, rival: ScoredImages | None, champion: ScoredChampion | None) -> Reliability:
    models = [ModelBins("this model", True, reliability(own.probabilities, own.labels))]
    if rival is not None and champion is not None:
        bins = reliability(rival.probabilities, rival.labels)
        models.insert(0, ModelBins(f"champion, version {champion.version}", False, bins))
    return Reliability(tuple(models), Markup(charts.reliability(models)), Markup(charts.gaps(models)))


def _robustness(contents: ReportContents) -> RobustnessTable | None:
    if contents.robustness is None:
        return None
    decision = contents.registration.decision if contents.registration is not None else None
    return robustness_table(contents.robustness, decision.robustness if decision is not None else None)


def _suspects(contents: ReportContents, config: ReportConfig) -> tuple[SuspectPicture, ...]:
    if contents.splits is None or contents.evaluation is None:
        return ()
    return suspect_pictures(contents.splits, contents.evaluation.label_issues, config.label_issues)


def _pairs(contents: ReportContents, config: ReportConfig) -> PairGallery | None:
    if contents.dataset is None or contents.near_duplicates is None:
        return None
    return pair_gallery(contents.dataset, contents.near_duplicates, config.near_duplicates)


def _examples(contents: ReportContents, config: ReportConfig) -> Examples:
    failed = [check for check in contents.checks if not check.passed]
    return dataset_examples(contents.dataset, failed, config.check_examples) if contents.dataset is not None else {}


def _drop_examples(contents: ReportContents, config: ReportConfig) -> dict[str, Examples]:
    """By the name of the drop."""
    drops = contents.drops.drops if contents.drops is not None else ()
    return {drop.name: drop_examples(drop, config.check_examples) for drop in drops if drop.checks}
