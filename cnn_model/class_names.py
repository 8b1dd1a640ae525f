"""The ten classes of CIFAR-10, in the order of their labels (batches.meta.txt of the official archive)."""

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
