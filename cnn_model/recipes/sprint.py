"""Not measured yet.

For the shortest way to the tutorials' accuracy, and to try the pipeline out on real images: a whitening of 3 x 3
patches and three narrow blocks of one convolution each, shown every image once, as it is. No decay and no changed
images: a single epoch cannot learn anything by heart. Chosen on 5,000 of the training images with the seeds 1 to 3.

Reference: after airbench (Jordan, arXiv 2404.00498), at a five-hundredth of its work.
"""

from cnn_model.recipe import Architecture, Recipe

RECIPE = Recipe(
    name="sprint",
    architecture=Architecture(
        name="whitened", widths=(16, 64, 128), convolutions=1, whitening_size=3, whitening_stride=2
    ),
    optimizer="nesterov",
    learning_rate=2.0,
    momentum=0.85,
    schedule="triangular",
    lookahead_steps=5,
    label_smoothing=0.1,
    batch_size=100,
    epochs=1,
    views="mirrored",
    precision="bfloat16",
)
