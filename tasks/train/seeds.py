"""Which seed a run trains with: the one asked for, one of the day's, or that of an earlier training.

With the seed `date` a run takes the seed of the last training that differs from its own in nothing but the seed, as
long as that is not too old; so it finds that training's result in the cache, and trains nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Protocol

from tasks.train.config import TrainConfig
from tasks.values.model import TrainedModel
from tasks.values.training import SAME, age, ago

LOOK_BACK_DAYS = 3650
"""How far back earlier trainings are looked for: as far as `max_model_age_days` goes."""

TRAININGS_A_DAY = 99


class Trainings(Protocol):
    """Earlier trainings on the same data, by the same recipe, code and libraries, by their seed."""

    def has(self, seed: int) -> bool:
        """Whether there is a record of one, usable or not."""

    def find(self, seed: int) -> TrainedModel | None:
        """What it gave; None where the record or the model is missing or damaged."""


@dataclass(frozen=True)
class SeedChoice:
    """The seed of a run.

    Attributes:
        seed: 0 to 4294967295.
        reason: Why the run is to train with it, to be read after "seed 1"; empty where nothing is to be said.
    """

    seed: int
    reason: str = ""


def choose(config: TrainConfig, at: datetime, *, force: bool, trainings: Trainings) -> SeedChoice:
    """The seed to train with.

    Args:
        config: The section.
        at: When the run was to start. A schedule's tick has the same time however late it starts and however often it
            is tried again, so its cached steps are found again.
        force: Whether to train even if nothing changed.
        trainings: What was trained before.
    """
    if config.seed != "date":
        return SeedChoice(config.seed, ", as a training is forced" if force else "")
    if force:
        return SeedChoice(_unused(at.date(), trainings), ", as a training is forced")
    last = _last(at.date(), trainings)
    if last is None:
        return SeedChoice(_of_day(at.date(), 1), f": there was no training {SAME}")
    model = trainings.find(last)
    if model is None:
        return SeedChoice(last, " again: what was kept of its training is missing or damaged")
    limit = config.max_model_age_days
    since = age(model.trained_at, at)
    if limit is None:
        return SeedChoice(last, f", of the training {ago(since)}")
    if since <= timedelta(days=limit):
        return SeedChoice(last, f", of the training {ago(since)}; max_model_age_days is {limit:g}")
    reason = f": the last training {SAME}, was {ago(since)}; max_model_age_days is {limit:g}"
    return SeedChoice(_unused(at.date(), trainings), reason)


def _of_day(day: date, number: int) -> int:
    """The seed of a day's training: 20261121 for the first, 2026112102 for the second."""
    first = int(day.strftime("%Y%m%d"))
    return first if number == 1 else 100 * first + number


def _trained_on(day: date, trainings: Trainings) -> list[int]:
    """The seeds of a day that something was trained with, in their order."""
    return list(takewhile(trainings.has, (_of_day(day, number) for number in range(1, TRAININGS_A_DAY + 1))))


def _unused(day: date, trainings: Trainings) -> int:
    """The first seed of the day that nothing was trained with; the last one, where all were."""
    return _of_day(day, min(len(_trained_on(day, trainings)) + 1, TRAININGS_A_DAY))


def _last(day: date, trainings: Trainings) -> int | None:
    """The seed of the last training up to that day."""
    for number in range(LOOK_BACK_DAYS + 1):
        if found := _trained_on(day - timedelta(days=number), trainings):
            return found[-1]
    return None
