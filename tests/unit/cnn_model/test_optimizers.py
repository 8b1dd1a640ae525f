import keras
import numpy as np
import pytest
from keras import ops

from cnn_model import optimizers


def test_the_triangle_starts_low_peaks_and_ends_low():
    triangle = optimizers.Triangle(peak=2.0, num_steps=1000)

    rates = np.array([float(triangle(step)) for step in (0, 230, 1000)])

    np.testing.assert_allclose(rates, [2.0 * optimizers.START_SHARE, 2.0, 2.0 * optimizers.END_SHARE], rtol=1e-4)
    assert float(triangle(100)) < float(triangle(200))
    assert float(triangle(400)) > float(triangle(800))


def test_recipes_get_the_optimiser_that_they_name(make_recipe):
    nesterov = optimizers.optimizer(make_recipe(momentum=0.8), num_steps=10)
    adam = optimizers.optimizer(make_recipe(optimizer="adam", schedule="constant", learning_rate=1e-3), num_steps=10)

    assert isinstance(nesterov, keras.optimizers.SGD)
    assert (nesterov.nesterov, nesterov.momentum) == (True, 0.8)
    assert isinstance(adam, keras.optimizers.Adam)
    assert float(adam.learning_rate) == pytest.approx(1e-3)


def test_biases_of_normalisations_move_faster_and_nothing_else():
    names = ("kernel", "beta", "bias")
    variables = [keras.Variable(np.zeros(3, np.float32), name=name) for name in names]
    optimizer = optimizers.Nesterov(64.0, learning_rate=0.1, momentum=0.0)
    optimizer.build(variables)

    optimizer.apply([ops.ones(3) for _ in names], variables)

    moved = {variable.name: float(variable.numpy()[0]) for variable in variables}
    assert moved == pytest.approx({"kernel": -0.1, "beta": -6.4, "bias": -0.1})


def test_the_slow_average_meets_the_weights_at_every_fifth_step_and_remembers_more_later():
    def after(step: int) -> tuple[float, float]:
        slow, fast = optimizers.looked_ahead(ops.zeros(()), ops.ones(()), step, num_steps=100, every=5)
        return float(slow), float(fast)

    assert after(4) == (0.0, 1.0)
    early, late = after(5), after(100)
    assert early[0] == early[1] == pytest.approx(1 - 0.95**5 * 0.05**3)
    assert late[0] == late[1] == pytest.approx(1 - 0.95**5)
