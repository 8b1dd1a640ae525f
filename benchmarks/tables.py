"""What trials say together: means, ratios, the tables of `benchmarks.training`. Loads no framework."""

from statistics import mean
from typing import Any

Trial = dict[str, Any]
Result = dict[str, Any]

TARGET_ACCURACY = 0.7029
"""What the tutorial's published run reached."""

TUTORIAL_EPOCHS = 10

PUBLISHED = {"seconds": 3.83, "seconds_compiled": 3.29, "device": "A100", "accuracy": 0.9401, "num_runs": 1000}
"""airbench94: Jordan, arXiv 2404.00498. Its seconds are those of whitening, training and the test images' views."""

MOST_OVER_TORCH = 1.5
"""`accurate` shall take no more than so many times as long as the same method in PyTorch."""


def compile_seconds(epoch_seconds: list[float]) -> float | None:
    """What the first epoch took longer than the others did on average; None where there is no other."""
    if len(epoch_seconds) < 2:
        return None
    return max(0.0, epoch_seconds[0] - mean(epoch_seconds[1:]))


def times_as_long(ours: list[Trial], theirs: list[Trial]) -> dict[str, float]:
    """How many times as long ours take, without compiling: a whole training, and an epoch of it but the first."""
    return {
        "training": _mean(ours, "seconds_without_compiling") / _mean(theirs, "seconds_without_compiling"),
        "epoch": mean(map(_later_epoch, ours)) / mean(map(_later_epoch, theirs)),
    }


def report(result: Result) -> str:
    """All that was measured, to be read in a terminal or a README."""
    lines = [
        result["machine"]["summary"] + f", {result['device']}, Keras on {result['backend']}",
        ", ".join(f"{name} {number}" for name, number in result["versions"].items()),
    ]
    if "tutorial" in result:
        lines += ["", *_against_tutorial(result)]
    if "accurate" in result:
        lines += ["", *_against_torch(result["accurate"], result.get("torch", []))]
    return "\n".join(lines)


def _against_tutorial(result: Result) -> list[str]:
    ours, tutorial = result["ours"], result["tutorial"]
    reached = sum(trial["accuracy"] >= TARGET_ACCURACY for trial in ours)
    reached_plainly = sum(trial["accuracy_of_one_view"] >= TARGET_ACCURACY for trial in ours)
    best = {name: rate / 1e9 for name, rate in result["matrices"]["operations_per_second"].items()}
    lines = [
        f"| | tutorial, {TUTORIAL_EPOCHS} epochs | `sprint`, 1 epoch | ratio |",
        "|---|---|---|---|",
        f"| seconds of training | {result['tutorial_seconds']:.1f} | {_mean(ours, 'seconds'):.1f} "
        f"| 1/{1 / result['ours_over_tutorial']:.1f} |",
        f"| test accuracy | {_span(tutorial, 'accuracy') if not result['quick'] else 'not measured'} "
        f"| {_span(ours, 'accuracy')}; one view {_span(ours, 'accuracy_of_one_view')} | |",
        f"| seeds at {TARGET_ACCURACY} or more | | {reached} of {len(ours)}; one view {reached_plainly} | |",
        f"| peak memory | {_memory(tutorial)} | {_memory(ours)} | |",
        "",
        f"Matrix products: {best['float32']:.0f} GFLOP/s in float32, {best['bfloat16']:.0f} in bfloat16.",
    ]
    for trial in result["inference"]:
        lines.append(
            f"Inference on {trial['threads']} thread(s): {trial['images_per_second']:.0f} images/s, Keras's predict "
            f"{trial['images_per_second_of_keras']:.0f}."
        )
    if "fast" in result:
        fast = result["fast"]
        lines.append(
            f"`fast`, {fast['epochs']} epochs: {fast['seconds']:.1f} s, test accuracy {fast['accuracy']:.4f}, peak "
            f"memory {_memory([fast])}; {fast['operations_per_second'] / 1e9:.0f} GFLOP/s in {fast['precision']}, "
            f"{fast['operations_per_second'] / 1e9 / best[fast['precision']]:.0%} of the matrix products'."
        )
    return lines


def _against_torch(ours: list[Trial], theirs: list[Trial]) -> list[str]:
    """A column for the published figures, and one for PyTorch where it was there."""
    columns = [ours, theirs] if theirs else [ours]
    published = f"{PUBLISHED['accuracy']:.4f} (n = {PUBLISHED['num_runs']})"
    lines = [
        "| | `accurate` |" + (" the same in PyTorch |" if theirs else "") + f" airbench94, {PUBLISHED['device']} |",
        "|" + "---|" * (len(columns) + 2),
        _row(
            "seconds of training, without compiling",
            [f"{_mean(trials, 'seconds_without_compiling'):.2f}" for trials in columns],
            f"{PUBLISHED['seconds']}, compiled {PUBLISHED['seconds_compiled']}",
        ),
        _row("seconds of an epoch but the first", [f"{mean(map(_later_epoch, trials)):.3f}" for trials in columns]),
        _row("seconds of compiling or warming up", [f"{_mean(trials, 'compile_seconds'):.1f}" for trials in columns]),
        _row("test accuracy", [_span(trials, "accuracy") for trials in columns], published),
        _row("of one view", [_span(trials, "accuracy_of_one_view") for trials in columns]),
        _row("peak memory of the GPU", [_memory(trials, "gpu_peak_memory_bytes") for trials in columns]),
    ]
    if not theirs:
        return [*lines, "", "PyTorch was not there to compare with."]
    ratios = times_as_long(ours, theirs)
    verdict = "within" if ratios["training"] <= MOST_OVER_TORCH else "beyond"
    return [
        *lines,
        "",
        f"`accurate` takes {ratios['training']:.2f} times as long as PyTorch, {verdict} {MOST_OVER_TORCH}; an epoch "
        f"{ratios['epoch']:.2f} times.",
    ]


def _row(name: str, figures: list[str], published: str = "") -> str:
    return f"| {name} | " + " | ".join([*figures, published]) + " |"


def _later_epoch(trial: Trial) -> float:
    """Seconds of an epoch on average, without the first, in which compiling happens."""
    return float(mean(trial["epoch_seconds"][1:] or trial["epoch_seconds"]))


def _mean(trials: list[Trial], name: str) -> float:
    return float(mean(trial[name] for trial in trials))


def _span(trials: list[Trial], name: str) -> str:
    values = [trial[name] for trial in trials]
    return f"{mean(values):.4f} ({min(values):.4f} to {max(values):.4f}, n = {len(values)})"


def _memory(trials: list[Trial], name: str = "peak_memory_bytes") -> str:
    sizes = [trial[name] for trial in trials if trial[name] is not None]
    return f"{max(sizes) / 2**20:,.0f} MiB" if sizes else "not known"
