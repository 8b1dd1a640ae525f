import numpy as np
import pytest
from scipy.stats import binomtest

from cnn_model import metrics, paired


def predictions(num_images: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, num_images).astype(np.uint8)
    return rng.dirichlet(np.full(10, 0.3), num_images).astype(np.float32), labels


def test_the_means_over_the_images_are_the_figures_of_the_whole() -> None:
    probabilities, labels = predictions()
    scored = paired.score_images(probabilities, labels)
    whole = metrics.evaluate(probabilities, labels)
    assert scored.correct.mean() == whole.accuracy.value
    assert scored.log_loss.mean() == pytest.approx(whole.loss)
    assert scored.calibration_error.mean() == pytest.approx(whole.expected_calibration_error)
    squares = ((probabilities - np.eye(10)[labels]) ** 2).sum(axis=1)
    assert scored.brier_score == pytest.approx(squares, abs=1e-5)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 5), (12, 3), (3, 12), (170, 150)])
def test_mcnemars_test_is_the_exact_one(wins: int, losses: int) -> None:
    if wins + losses:
        assert paired.better_p(wins, losses) == pytest.approx(
            binomtest(wins, wins + losses, alternative="greater").pvalue
        )
        assert paired.mcnemar_p(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)
    else:
        assert paired.mcnemar_p(wins, losses) == 1


def test_not_worse_agrees_with_tangos_interval() -> None:
    """Table II of Tango (1998), 43 and 0 of 44 pairs: the 90 % interval of 1 win and no loss; and plain limits."""
    # The lower 95 % limit inverts the test: a margin at that limit gives p = 0.05.
    margins = np.linspace(0.001, 0.2, 2000)
    p_values = np.array([float(paired.not_worse_p(12, 9, 200, margin)) for margin in margins])
    assert (np.diff(p_values) < 0).all()
    limit = -margins[np.argmin(abs(p_values - 0.05))]
    wald = 3 / 200 - 1.645 * np.sqrt((21 - 9 / 200) / 200**2)
    assert limit == pytest.approx(wald, abs=0.002)


def test_not_worse_of_models_that_never_differ_needs_enough_images() -> None:
    assert paired.not_worse_p(0, 0, 80, 0.01) > 0.05
    assert paired.not_worse_p(0, 0, 10_000, 0.01) < 1e-10


def test_tangos_interval_is_that_of_the_textbook() -> None:
    """Airway hyper-responsiveness, Table 8.1 of Fagerland, Lydersen and Laake (2017): 1, 1, 7 and 12 of 21 pairs."""
    found = paired.difference_interval(1, 7, 21)
    assert found.value == pytest.approx(-6 / 21)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_tangos_interval_has_the_limits_that_can_be_solved_by_hand() -> None:
    """Of models that never differ the score is n d / (1 - d); of one that always wins n (1 - d) / (1 + d)."""
    square = 1.959964**2
    never = paired.difference_interval(0, 0, 40)
    assert (never.low, never.high) == pytest.approx((-square / (40 + square), square / (40 + square)))
    always = paired.difference_interval(40, 0, 40)
    assert (always.low, always.high) == pytest.approx(((40 - square) / (40 + square), 1))
    assert paired.difference_interval(0, 40, 40).low == pytest.approx(-1)
    one, other = paired.difference_interval(9, 4, 60), paired.difference_interval(4, 9, 60)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_tangos_interval_ends_where_the_test_finds_something() -> None:
    low = paired.difference_interval(12, 30, 1000).low
    assert paired.not_worse_p(12, 30, 1000, -low) == pytest.approx(0.025)


def test_tangos_interval_holds_the_truth_in_95_of_100_trials() -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(1000, [0.03, 0.04, 0.93], 1000)
    intervals = [paired.difference_interval(int(wins), int(losses), 1000) for wins, losses, _ in counts]
    share = np.mean([found.low <= -0.01 <= found.high for found in intervals])
    assert share == pytest.approx(0.95, abs=0.02)


def test_not_worse_errs_in_a_twentieth_of_the_trials_at_the_margin() -> None:
    rng = np.random.default_rng(1)
    counts = rng.multinomial(10_000, [0.03, 0.04, 0.93], 20_000)
    share = (paired.not_worse_p(counts[:, 0], counts[:, 1], 10_000, 0.01) <= 0.05).mean()
    assert share == pytest.approx(0.05, abs=0.006)


def test_a_mean_is_above_its_margin_only_when_it_is() -> None:
    differences = np.full(100, 0.02)
    sums, squares = differences.sum(), (differences**2).sum()
    assert paired.above_p(sums, squares, 100, 0.01) < 1e-6
    assert paired.above_p(sums, squares, 100, 0.03) > 0.999
    assert paired.above_p(0, 0, 100, 0.01) > 0.999


def test_holms_correction() -> None:
    found = paired.holm(np.array([[0.01, 0.04, 0.03], [0.5, 0.001, 0.9]]))
    assert found == pytest.approx(np.array([[0.03, 0.06, 0.06], [1.0, 0.003, 1.0]]))


def test_bootstrap_intervals_are_those_of_the_normal_approximation() -> None:
    (first, labels), (second, _) = predictions(5000), predictions(5000, seed=3)
    challenger, champion = (paired.score_images(given, labels) for given in (first, second))
    found = paired.bootstrap(challenger, champion, 2000)
    for name, values in (
        ("accuracy", challenger.correct.astype(float) - champion.correct),
        ("log_loss", challenger.log_loss - champion.log_loss),
        ("brier_score", challenger.brier_score - champion.brier_score),
    ):
        difference = found[name].difference
        error = values.std() / np.sqrt(len(values))
        assert difference.value == pytest.approx(values.mean(), abs=1e-6)
        assert difference.high - difference.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    calibration = found["calibration_error"]
    assert calibration.challenger.value == pytest.approx(metrics.expected_calibration_error(first, labels), abs=1e-5)
    # Of calibrated predictions nearly all resamples have a larger calibration error than the whole.
    rng = np.random.default_rng(4)
    confidences = rng.uniform(0.5, 1, 2000)
    calibrated = np.full((2000, 10), 0.0, np.float32)
    calibrated[np.arange(2000), 0], calibrated[np.arange(2000), 1] = confidences, 1 - confidences
    alone = paired.score_images(calibrated, (rng.random(2000) > confidences).astype(np.uint8))
    own = paired.bootstrap(alone, alone, 500)["calibration_error"].challenger
    assert own.value == pytest.approx((own.low + own.high) / 2, abs=0.003)
    assert calibration.difference.low < calibration.difference.value < calibration.difference.high
    assert paired.bootstrap(challenger, champion, 2000) == found


def test_a_detectable_difference_is_found_with_80_percent_probability() -> None:
    rng = np.random.default_rng(2)
    difference = paired.detectable_difference(300, 300, 10_000)
    rates = [0.03 + difference / 2, 0.03 - difference / 2]
    counts = rng.multinomial(10_000, [*rates, 1 - sum(rates)], 4000)
    found = (paired.mcnemar_p(counts[:, 0], counts[:, 1]) <= 0.05) & (counts[:, 0] > counts[:, 1])
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_swapped_models_are_equal() -> None:
    signs = np.concatenate(list(paired.swaps(300, 450)))
    assert signs.shape == (450, 300)
    assert set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean()) < 0.01


def test_means_of_two_models_by_hand() -> None:
    """Eight images of which the challenger alone has one; so the difference has the deviation of one in eight."""
    champion = np.array([0, 0, 0, 0, 1, 1, 1, 0], np.float64)
    challenger = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float64)
    found = paired.compare_means(challenger, champion, 4000)
    assert (found.challenger.value, found.champion.value, found.difference.value) == (0.5, 0.375, 0.125)
    # A resample of eight images has the one image 0 to 3 times, and rarely four: eighths about the mean.
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0, 0.375), abs=0.01)
    alone = paired.mean_interval(challenger, 4000)
    assert alone == found.challenger
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.5 / 8**0.5, rel=0.12)
