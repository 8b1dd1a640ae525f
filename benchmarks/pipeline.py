"""Times the pipeline as a person runs it: `make benchmark-pipeline`.

Runs the command line on an empty store, then again on the filled one, each in a process of its own, and writes a table
to the terminal and `benchmarks/results/pipeline.json`. Times of a shared machine mean little; their ratios in one run
mean more.

    python -m benchmarks.pipeline [--source SOURCE] [--repeats N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "pipeline.json"


def main() -> int:
    """Measure, write and print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="retraining-benchmark-") as folder:
        store = Path(folder) / "store"
        first = _run(options.source, store)
        repeats = [_run(options.source, store) for _ in range(options.repeats)]
    imports = [_seconds([sys.executable, "-c", "import flows.retraining"])[0] for _ in range(5)]
    median = sorted(repeats, key=lambda run: run["seconds"])[len(repeats) // 2]
    result = {
        "machine": describe(),
        "dataset": first["summary"]["dataset"]["name"],
        "code_version": first["summary"]["code_version"],
        "accuracy": first["summary"]["metrics"]["accuracy"],
        "first_run": _figures(first),
        "second_run": {**_figures(median), "repeats": [run["seconds"] for run in repeats]},
        "second_over_first": median["seconds"] / first["seconds"],
        "import_flows_retraining_seconds": sorted(imports),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    _print(result)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description="Time the pipeline.")
    parser.add_argument("--source", default=os.environ.get("CIFAR10_SOURCE", "synthetic"), help="source of the images")
    parser.add_argument("--repeats", type=int, default=3, help="runs on the filled store (default: 3)")
    return parser.parse_args()


def _run(source: str, store: Path) -> dict[str, Any]:
    """One run of the command line: its seconds and its summary.

    Raises:
        RuntimeError: if it failed; with what it printed.
    """
    command = [sys.executable, "-m", "flows.retraining", "--source", source, "--store", str(store)]
    seconds, output = _seconds(command)
    report = Path(output.splitlines()[-1])
    return {"seconds": seconds, "summary": json.loads((report.parent / "summary.json").read_text())}


def _seconds(command: list[str]) -> tuple[float, str]:
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - start, done.stdout


def _figures(run: dict[str, Any]) -> dict[str, Any]:
    steps = run["summary"]["steps"]
    return {
        "seconds": run["seconds"],
        "peak_memory_bytes": max(step["peak_memory_bytes"] or 0 for step in steps.values()),
        "steps": {name: {"outcome": step["outcome"], "seconds": step["seconds"]} for name, step in steps.items()},
    }


def _print(result: dict[str, Any]) -> None:
    first, second = result["first_run"], result["second_run"]
    lines = [
        f"{result['dataset']} on {result['machine']['summary']}",
        f"{'':<12}{'first run':>12}{'second run':>12}",
        *(
            f"{name:<12}{step['seconds']:>10.1f} s{second['steps'][name]['seconds']:>10.1f} s"
            for name, step in first["steps"].items()
        ),
        f"{'whole':<12}{first['seconds']:>10.1f} s{second['seconds']:>10.1f} s",
        f"{'memory':<12}" + "".join(f"{run['peak_memory_bytes'] / 2**20:>8,.0f} MiB" for run in (first, second)),
        f"second over first {result['second_over_first']:.3f}, accuracy {result['accuracy']['value']:.4f}",
        f"import of flows.retraining {result['import_flows_retraining_seconds'][2]:.2f} s (median of 5)",
        str(RESULTS.relative_to(ROOT)),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
