"""Not measured yet.

The tutorials' network with what they name as its improvements: dropout, an L2 penalty, batch normalisation, flips and
shifts; the epoch with the lowest validation loss is kept.
"""

from cnn_model.recipe import Architecture, Recipe

RECIPE = Recipe(
    name="regularized",
    architecture=Architecture(
        name="tutorial", widths=(32, 64), dense_units=128, dropout=0.3, l2=1e-4, batch_normalization=True
    ),
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    batch_size=64,
    epochs=30,
    flip="random",
    shift_pixels=2,
    early_stopping_epochs=5,
)
