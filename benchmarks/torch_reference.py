"""The method of the recipe `accurate` in PyTorch, to compare with on the same machine; prints one JSON object.

    python -m benchmarks.torch_reference --arrays FOLDER --seed N [--epochs N] [--device auto|cpu|gpu]

Written from the paper, in its own units, so that the conversions in `cnn_model/recipes/accurate.py` are compared too.
float16 on a GPU, as there, float32 on a CPU. PyTorch is no dependency of the project.

Reference: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import UNAVAILABLE, installed
from cnn_model.memory import peak_bytes

try:
    import torch
except ModuleNotFoundError:
    torch = None

WIDTHS = (64, 256, 256)
BATCH_SIZE = 1024
LEARNING_RATE = 11.5
WEIGHT_DECAY = 0.0153
"""Both for 1,024 images, whatever the momentum."""

MOMENTUM = 0.85
BIAS_RATE = 64
LABEL_SMOOTHING = 0.2
WHITENING_BIAS_EPOCHS = 3
NORMALIZATION_TAKES = 0.4
"""The share of a batch's figures that the running ones take over."""

LOOKAHEAD_STEPS = 5
SHIFT_PIXELS = 2
MEANS = (0.4914, 0.4822, 0.4465)
DEVIATIONS = (0.2470, 0.2435, 0.2616)


def main() -> int:
    """Train, score and print."""
    options = _options()
    missing = _missing(options.device)
    if missing:
        sys.stderr.write(missing + "\n")
        return UNAVAILABLE
    sys.stdout.write(json.dumps(_measure(options)) + "\n")
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    arrays = {file.stem: np.load(file) for file in options.arrays.glob("*.npy")}
    warm_up = _warm_up(arrays, device)
    start = time.perf_counter()
    network, epoch_seconds = train(arrays, options.seed, options.epochs, device)
    seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() if on_gpu else None
    labels = torch.from_numpy(arrays["test_labels"].astype(np.int64)).to(device)
    one, all_views = logits(network, _images(arrays["test_images"], device))
    return {
        "kind": "torch",
        "seed": options.seed,
        "seconds": seconds + warm_up,
        "compile_seconds": warm_up,
        "seconds_without_compiling": seconds,
        "epoch_seconds": epoch_seconds,
        "epochs": options.epochs,
        "precision": "float16" if on_gpu else "float32",
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "num_parameters": sum(weights.numel() for weights in network.parameters()),
        "accuracy": (all_views.argmax(1) == labels).double().mean().item(),
        "accuracy_of_one_view": (one.argmax(1) == labels).double().mean().item(),
        "peak_memory_bytes": peak_bytes(),
        "gpu_peak_memory_bytes": memory,
        "versions": {**installed("torch", "numpy"), **({"cuda": torch.version.cuda} if on_gpu else {})},
    }


def _warm_up(arrays: dict[str, Any], device: Any) -> float:
    """Seconds of a training of two steps an epoch: a GPU's convolutions try their algorithms, memory is taken."""
    if device.type == "cpu":
        return 0.0
    torch.backends.cudnn.benchmark = True
    few = {name: array[: 2 * BATCH_SIZE] for name, array in arrays.items()}
    start = time.perf_counter()
    train(few, 0, WHITENING_BIAS_EPOCHS + 1, device)
    return time.perf_counter() - start


def train(arrays: dict[str, Any], seed: int, epochs: int, device: Any) -> tuple[Any, list[float]]:
    """Train a network from the start.

    Args:
        arrays: With train_images of shape (num_images, 32, 32, 3), dtype=uint8, and train_labels.
        seed: Of weights, order and augmentation.
        epochs: Passes over the images; those that fill no batch are left out of each.
        device: Of PyTorch.

    Returns:
        The network, and the seconds of each epoch.
    """
    torch.manual_seed(seed)
    images = _images(arrays["train_images"], device)
    labels = torch.from_numpy(arrays["train_labels"].astype(np.int64)).to(device)
    padded = torch.nn.functional.pad(images, (SHIFT_PIXELS,) * 4, "reflect").permute(0, 2, 3, 1).contiguous()
    first_sides = torch.rand(len(images), device=device) < 0.5
    network = _network(images[:5000])
    num_steps = epochs * (len(images) // BATCH_SIZE)
    optimizer = _optimizer(network)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _triangle(step / num_steps))
    followed = [value for value in network.state_dict().values() if value.is_floating_point()]
    slow = [value.clone() for value in followed]
    step, seconds = 0, []
    for epoch in range(epochs):
        start = time.perf_counter()
        network[0].bias.requires_grad_(epoch < WHITENING_BIAS_EPOCHS)
        sides = ~first_sides if epoch % 2 else first_sides
        for chosen in torch.randperm(len(images), device=device).split(BATCH_SIZE)[: len(images) // BATCH_SIZE]:
            outputs = _outputs(network, _changed(padded, chosen, sides[chosen]))
            loss = torch.nn.functional.cross_entropy(
                outputs, labels[chosen], label_smoothing=LABEL_SMOOTHING, reduction="sum"
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % LOOKAHEAD_STEPS == 0:
                _look_ahead(slow, followed, 0.95**LOOKAHEAD_STEPS * (step / num_steps) ** 3)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    _look_ahead(slow, followed, 1.0)
    return network, seconds


def logits(network: Any, images: Any) -> tuple[Any, Any]:
    """The logits of the images themselves; and their mean over six views, the shifted ones at half the weight.

    Both of shape (num_images, 10), dtype=float32.
    """
    network.eval()

    def both_sides(batch: Any) -> Any:
        return (_outputs(network, batch) + _outputs(network, batch.flip(-1))) / 2

    one, all_views = [], []
    with torch.no_grad():
        for batch in images.split(1000):
            padded = torch.nn.functional.pad(batch, (1,) * 4, "reflect")
            corners = both_sides(padded[:, :, :-2, :-2]) + both_sides(padded[:, :, 2:, 2:])
            one.append(_outputs(network, batch))
            all_views.append(both_sides(batch) / 2 + corners / 4)
    return torch.cat(one), torch.cat(all_views)


def _outputs(network: Any, batch: Any) -> Any:
    """The logits: a ninth of what the last layer gives, so that training starts calmly."""
    return network(batch).float() / 9


def _network(images: Any) -> Any:
    """A fixed whitening convolution with a trained bias, three blocks, maximum, one linear layer."""
    nn = torch.nn
    whiten = nn.Conv2d(3, 24, 2)
    blocks = [_block(*widths) for widths in zip((24, *WIDTHS), WIDTHS, strict=False)]
    linear = nn.Linear(WIDTHS[-1], 10, bias=False)
    network = nn.Sequential(whiten, nn.GELU(), *blocks, nn.MaxPool2d(3), nn.Flatten(), linear)
    network.to(images.device, images.dtype, memory_format=torch.channels_last)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.float()
            layer.weight.requires_grad_(False)
    with torch.no_grad():
        whiten.weight.copy_(_whitening(images))
        whiten.bias.zero_()
    whiten.weight.requires_grad_(False)
    return network


def _block(in_channels: int, out_channels: int) -> Any:
    nn = torch.nn
    first = nn.Conv2d(in_channels, out_channels, 3, padding="same", bias=False)
    second = nn.Conv2d(out_channels, out_channels, 3, padding="same", bias=False)
    for convolution in (first, second):
        nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
    norms = [nn.BatchNorm2d(out_channels, eps=1e-12, momentum=NORMALIZATION_TAKES) for _ in range(2)]
    return nn.Sequential(first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU())


def _whitening(images: Any) -> Any:
    """Eigenvectors of the 2 x 2 patches' covariance over their deviations, and the same with the opposite sign."""
    patches = torch.nn.functional.unfold(images.float(), 2).transpose(1, 2).reshape(-1, 12)
    variances, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (variances + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters])


def _optimizer(network: Any) -> Any:
    scale = 1024 * (1 + 1 / (1 - MOMENTUM))
    rate, decay = LEARNING_RATE / scale, WEIGHT_DECAY * BATCH_SIZE / scale
    biases = [layer.bias for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    known = {id(bias) for bias in biases}
    others = [weights for weights in network.parameters() if weights.requires_grad and id(weights) not in known]
    groups = [
        {"params": biases, "lr": rate * BIAS_RATE, "weight_decay": decay / (rate * BIAS_RATE)},
        {"params": others, "lr": rate, "weight_decay": decay / rate},
    ]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def _triangle(share_done: float) -> float:
    return min(0.2 + 0.8 * share_done / 0.23, 0.07 + 0.93 * (1 - share_done) / 0.77)


def _look_ahead(slow: list[Any], fast: list[Any], kept: float) -> None:
    with torch.no_grad():
        for average, weights in zip(slow, fast, strict=True):
            average.lerp_(weights, 1 - kept)
            weights.copy_(average)


def _changed(padded: Any, chosen: Any, mirrored: Any) -> Any:
    """The chosen images, shifted by up to 2 pixels and mirrored where it says so.

    Args:
        padded: tensor of shape (num_images, 36, 36, 3): continued by reflection.
        chosen: tensor of shape (batch_size,): positions.
        mirrored: tensor of shape (batch_size,), dtype=bool.
    """
    places = torch.arange(32, device=padded.device)
    down, right = torch.randint(0, 2 * SHIFT_PIXELS + 1, (2, len(chosen), 1), device=padded.device)
    columns = torch.where(mirrored[:, None], 31 - places, places) + right
    rows = places + down
    return padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _images(images: Any, device: Any) -> Any:
    """Normalised, of shape (num_images, 3, 32, 32) with the channels last in memory."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    means, deviations = torch.tensor([MEANS, DEVIATIONS], device=device)
    pixels = torch.from_numpy(images).to(device)
    return torch.cat([((part / 255 - means) / deviations).to(dtype) for part in pixels.split(10_000)]).permute(
        0, 3, 1, 2
    )


def _missing(device: str) -> str | None:
    if torch is None:
        return "PyTorch is not installed here; the reference needs it; `uv pip install torch`, or do without"
    if device == "gpu" and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no GPU; one was asked for; install a build with CUDA, or do without"
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_reference", description="Train with PyTorch.")
    parser.add_argument("--arrays", type=Path, required=True, help="folder with {train,test}_{images,labels}.npy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
