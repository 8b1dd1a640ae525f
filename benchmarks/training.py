"""Compares our training with the tutorial's as it was published, and on a GPU with airbench's: `make benchmark`.

Every measurement is a process of its own, one after the other and in turns, on the same arrays; a table goes to the
terminal, all figures to `benchmarks/results/training.json`. Times of a shared machine mean little; their ratios in one
run mean more. Where a GPU is seen, the recipe `accurate` is measured too, beside the same method in PyTorch if that is
installed.

    python -m benchmarks.training [--source SOURCE | --arrays FOLDER] [--quick] [--accurate-only]

With `--arrays` nothing of the pipeline is imported: what `cnn_model` needs is enough.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.machine import UNAVAILABLE, describe, installed
from benchmarks.tables import TUTORIAL_EPOCHS, Result, Trial, report, times_as_long

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "training.json"

FRESH_SEEDS = (11, 12, 13, 14, 15)
"""Not those that a recipe was chosen with."""

LIBRARIES = ("tensorflow", "jax", "keras", "numpy", "torch")


def main() -> int:
    """Measure, write and print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="training-benchmark-") as folder:
        arrays = options.arrays.resolve() if options.arrays else prepare(options.source, Path(folder))
        result = _measure(arrays, options.quick, options.accurate_only)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(f"{report(result)}\n{RESULTS.relative_to(ROOT)}\n")
    return 0


def prepare(source: str, folder: Path) -> Path:
    """The images as arrays in a store of the benchmark's own.

    Args:
        source: Of the images, as `make run` takes it.
        folder: Of the store.

    Returns:
        A folder with `{train,test}_{images,labels}.npy`.
    """
    # Here, so that arrays that are there already can be measured without the pipeline's libraries.
    from tasks import machine, store
    from tasks.ingest import dataset, sources
    from tasks.ingest.config import IngestConfig

    config = IngestConfig()
    with machine.use(machine.Machine(store=folder)):
        given = dataset.build(sources.resolve(source, config, os.environ), config)
        return store.current().fetch(given.artifact)


def _measure(arrays: Path, quick: bool, accurate_only: bool) -> Result:
    """All trials.

    Raises:
        SystemExit: if `accurate` alone is asked for and no GPU is there.
    """
    seen = _trial("device", arrays)
    result: Result = {
        "machine": describe(),
        "versions": installed(*LIBRARIES),
        "device": seen["device"],
        "backend": seen["backend"],
        "quick": quick,
    }
    on_gpu = seen["device_kind"] == "gpu"
    if accurate_only and not on_gpu:
        sys.exit(f"Keras on {seen['backend']} sees no GPU; `accurate` is measured on one; leave out --accurate-only")
    if not accurate_only:
        # The number of threads can be set for TensorFlow alone; 0 leaves it as it is.
        thread_counts = (1, 0) if seen["backend"] == "tensorflow" else (0,)
        result.update(_against_tutorial(arrays, quick, thread_counts))
    if on_gpu:
        result.update(_against_torch(arrays))
    return result


def _against_tutorial(arrays: Path, quick: bool, thread_counts: tuple[int, ...]) -> Result:
    """The tutorial between ours, so that a change of the machine's load meets both."""
    tutorial_epochs, rounds = (1, 1) if quick else (TUTORIAL_EPOCHS, 2)
    seeds = list(FRESH_SEEDS[:2] if quick else FRESH_SEEDS)
    tutorial, ours = [], []
    for turn in range(rounds):
        for seed in seeds[turn::rounds]:
            ours.append(_trial("ours", arrays, seed=seed, recipe="sprint"))
        tutorial.append(_trial("tutorial", arrays, seed=1 + turn, epochs=tutorial_epochs))
    # The tutorial's epochs cost alike; a quick run times one of them.
    seconds = mean(trial["seconds"] for trial in tutorial) * TUTORIAL_EPOCHS / tutorial_epochs
    result: Result = {
        "tutorial": tutorial,
        "tutorial_seconds": seconds,
        "ours": ours,
        "ours_over_tutorial": mean(trial["seconds"] for trial in ours) / seconds,
        "matrices": _trial("matrices", arrays),
        "inference": [_trial("inference", arrays, threads=threads) for threads in thread_counts],
    }
    if not quick:
        result["fast"] = _trial("ours", arrays, seed=seeds[0])
    return result


def _against_torch(arrays: Path) -> Result:
    """`accurate` and PyTorch in turns; PyTorch is left out, and that is said, where it or its GPU is missing."""
    ours: list[Trial] = []
    theirs: list[Trial] = []
    torch_is_there = True
    for seed in FRESH_SEEDS:
        ours.append(_trial("ours", arrays, seed=seed, recipe="accurate"))
        if torch_is_there:
            trial = _torch_trial(arrays, seed)
            torch_is_there = trial is not None
            theirs += [trial] if trial is not None else []
    if not theirs:
        return {"accurate": ours}
    return {"accurate": ours, "torch": theirs, "accurate_over_torch": times_as_long(ours, theirs)}


def _trial(kind: str, arrays: Path, **options: int | str) -> Trial:
    """Run one trial.

    Raises:
        RuntimeError: if it failed; with what it printed.
    """
    chosen = [part for name, value in options.items() if value for part in (f"--{name}", str(value))]
    done = _run("benchmarks.trial", [kind, "--arrays", str(arrays), *chosen])
    return _figures(done, f"{kind} {' '.join(chosen)}")


def _torch_trial(arrays: Path, seed: int) -> Trial | None:
    """Run the reference; None where PyTorch or its GPU is missing.

    Raises:
        RuntimeError: if it failed; with what it printed.
    """
    done = _run("benchmarks.torch_reference", ["--arrays", str(arrays), "--seed", str(seed), "--device", "gpu"])
    if done.returncode == UNAVAILABLE:
        sys.stdout.write(f"  {done.stderr.strip()}\n")
        return None
    return _figures(done, f"torch --seed {seed}")


def _run(module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _figures(done: subprocess.CompletedProcess[str], title: str) -> Trial:
    """What a trial printed last, told of in a line."""
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(done.args)} failed:\n{done.stdout}{done.stderr}")
    trial: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    sys.stdout.write(f"  {title}: {trial.get('seconds', 0):.1f} s\n")
    sys.stdout.flush()
    return trial


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Compare with the tutorial.")
    images = parser.add_mutually_exclusive_group()
    images.add_argument("--source", default=os.environ.get("CIFAR10_SOURCE", "cifar10"), help="source of the images")
    images.add_argument("--arrays", type=Path, help="folder with {train,test}_{images,labels}.npy instead of a source")
    parser.add_argument("--quick", action="store_true", help="fewer seeds, one epoch of the tutorial, no long run")
    parser.add_argument("--accurate-only", action="store_true", help="on a GPU: leave out all but `accurate`")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
