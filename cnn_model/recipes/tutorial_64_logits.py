"""0.684 test accuracy (one seed) in about 2 minutes of two CPU cores: the tutorials' network of 167,562 parameters.

Seed 1, trained on 45,000 images, scored on the 10,000 published test images: 0.6840, Wilson 95 % interval 0.6748
to 0.6930. 10 to 22 s an epoch on two shared cores of an Intel Xeon with AVX-512 and AMX, 147 s in all; float32,
TensorFlow 2.21, Keras 3.15.1, Python 3.11. Peak memory 1.0 GB.

The convolutional tutorial of TensorFlow (https://www.tensorflow.org/tutorials/images/cnn), here without its third
convolution: pixels / 255, Adam at Keras's own rate, sparse cross-entropy from logits.
"""

from cnn_model.recipe import Architecture, Recipe

RECIPE = Recipe(
    name="tutorial-64-logits",
    architecture=Architecture(name="tutorial", widths=(32, 64), dense_units=64),
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    batch_size=32,
    epochs=10,
)
