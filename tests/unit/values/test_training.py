"""How a person reads where a model came from."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.values.training import Training, ago

RUN_AT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def training(age_days: float, **changes: object) -> Training:
    values = {
        "seed": 20261118,
        "seed_is_fixed": False,
        "trained_at": RUN_AT - timedelta(days=age_days),
        "run_at": RUN_AT,
        "in_this_run": False,
        "reason": "",
        "forced": False,
        "max_model_age_days": 30,
    }
    return Training.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0, "less than an hour ago"),
        (1, "1 hour ago"),
        (23.9, "23 hours ago"),
        (24, "1 day ago"),
        (71, "2 days ago"),
        (24 * 400, "400 days ago"),
    ],
)
def test_time_since_in_words(hours: float, words: str) -> None:
    assert ago(timedelta(hours=hours)) == words


def test_an_earlier_training_is_told_with_age_seed_and_limit() -> None:
    assert training(3).sentence == (
        "Trained 3 days ago with seed 20261118 on the same data, by the same recipe and code; max_model_age_days is 30."
    )
    assert training(3, max_model_age_days=None).sentence == (
        "Trained 3 days ago with seed 20261118 on the same data, by the same recipe and code."
    )


def test_a_fixed_seed_that_is_older_than_the_limit_says_why_nothing_was_trained() -> None:
    assert "max_model_age_days" not in training(3, seed=1, seed_is_fixed=True).sentence
    sentence = training(31, seed=1, seed_is_fixed=True).sentence
    assert sentence.startswith("Trained 31 days ago with seed 1 on the same data")
    assert "longer ago than max_model_age_days, 30, but a fixed seed asks for this very training" in sentence


def test_a_training_of_the_run_tells_its_reason() -> None:
    sentence = training(0, in_this_run=True, reason=", as a training is forced", forced=True).sentence
    assert sentence == "Trained in this run with seed 20261118, as a training is forced."


def test_a_model_that_the_run_trained_after_its_scheduled_time_is_not_of_the_future() -> None:
    assert training(-1).age == timedelta(0)
