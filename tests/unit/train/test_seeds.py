"""Which seed a run trains with, by what was trained before."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.store import Reference
from tasks.train.config import TrainConfig
from tasks.train.seeds import LOOK_BACK_DAYS, SeedChoice, choose
from tasks.values.model import TrainedModel
from tests.results import make_training_result

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class Trained:
    """Trainings by their seed; None for one whose model is damaged."""

    def __init__(self, **by_seed: datetime | None) -> None:
        self._by_seed = {int(name.removeprefix("seed_")): when for name, when in by_seed.items()}

    def has(self, seed: int) -> bool:
        return seed in self._by_seed

    def find(self, seed: int) -> TrainedModel | None:
        when = self._by_seed[seed]
        artifact = Reference(digest="a" * 64, size_bytes=1)
        return (
            None
            if when is None
            else TrainedModel(artifact=artifact, result=make_training_result((), best_epoch=1), trained_at=when)
        )


def chosen(trained: Trained, at: datetime = NOW, *, force: bool = False, **config: object) -> SeedChoice:
    return choose(TrainConfig.model_validate({"seed": "date", **config}), at, force=force, trainings=trained)


def before(**since: float) -> datetime:
    return NOW - timedelta(**since)


def test_without_an_earlier_training_the_day_gives_the_seed() -> None:
    choice = chosen(Trained())
    assert choice.seed == 20261121
    assert choice.reason == ": there was no training on the same data, by the same recipe and code"


def test_a_recent_training_gives_its_seed() -> None:
    choice = chosen(Trained(seed_20261118=before(days=3)))
    assert choice == SeedChoice(20261118, ", of the training 3 days ago; max_model_age_days is 30")


def test_of_several_trainings_the_last_counts() -> None:
    trained = Trained(seed_20261101=before(days=20), seed_20261118=before(days=3), seed_2026111802=before(days=2))
    assert chosen(trained).seed == 2026111802


@pytest.mark.parametrize(("limit", "seed"), [(3, 20261118), (2.9, 20261121), (0, 20261121), (None, 20261118)])
def test_a_training_that_is_older_than_the_limit_gives_way_to_the_day(limit: float | None, seed: int) -> None:
    assert chosen(Trained(seed_20261118=before(days=3)), max_model_age_days=limit).seed == seed


def test_the_reason_of_a_new_training_names_age_and_limit() -> None:
    reason = chosen(Trained(seed_20261020=before(days=32))).reason
    assert reason == (
        ": the last training on the same data, by the same recipe and code, was 32 days ago; max_model_age_days is 30"
    )


def test_an_age_of_hours_takes_the_next_seed_of_the_day() -> None:
    trained = Trained(seed_20261121=before(hours=2))
    assert chosen(trained).seed == 20261121
    assert chosen(trained, max_model_age_days=0.05).seed == 2026112102


def test_without_a_limit_a_training_of_years_ago_counts() -> None:
    first = NOW - timedelta(days=LOOK_BACK_DAYS)
    trained = Trained(**{f"seed_{first:%Y%m%d}": first})
    assert chosen(trained, max_model_age_days=None).seed == int(f"{first:%Y%m%d}")


def test_a_training_that_is_forced_has_a_seed_of_its_own() -> None:
    assert chosen(Trained(seed_20261118=before(days=3)), force=True).seed == 20261121
    both = Trained(seed_20261121=before(hours=3), seed_2026112102=before(hours=2))
    assert chosen(both, force=True) == SeedChoice(2026112103, ", as a training is forced")


def test_a_days_seeds_are_numbers_that_a_training_takes() -> None:
    last = 2026112199
    all_of_them = [20261121, *range(2026112102, last + 1)]
    trained = Trained(**{f"seed_{seed}": NOW for seed in all_of_them})
    # None is left: the last is trained with again, rather than that a forced run fails.
    assert chosen(trained, force=True).seed == last < 2**32


def test_a_damaged_training_is_made_again_with_its_seed() -> None:
    choice = chosen(Trained(seed_20261118=None))
    assert choice == SeedChoice(20261118, " again: what was kept of its training is missing or damaged")


def test_the_training_of_a_later_attempt_at_the_same_tick_counts() -> None:
    """A tick that is tried again finds what its first attempt trained, after the scheduled time."""
    assert chosen(Trained(seed_20261121=NOW + timedelta(minutes=9)), max_model_age_days=0).seed == 20261121


@pytest.mark.parametrize("force", [False, True])
def test_a_fixed_seed_is_taken_as_it_is(force: bool) -> None:
    trained = Trained(seed_7=before(days=400))
    assert chosen(trained, force=force, seed=7).seed == 7
