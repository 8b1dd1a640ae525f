"""Plants faults in drops of real images, and counts which are found: `make benchmark-checks`.

A drop's images are CIFAR-10 images that are held out of the base, so that a drop without a fault is a good one. Each
fault is planted in a share of a drop, several times with other images; a table says how often the check that is for it
spoke up, and how often the drop was bad. Good drops show how often a check speaks up for nothing.

    python -m benchmarks.checks [--source SOURCE] [--size 1000] [--repeats 5] [--clean 200]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.faults import PLANTS, Draft, Material
from benchmarks.machine import describe, installed
from benchmarks.training import prepare
from cnn_model.class_names import CLASS_NAMES
from tasks import machine, store
from tasks.validate.config import ValidateConfig
from tasks.validate.drops import judge
from tasks.validate.likeness import Likeness
from tasks.validate.near_duplicates import Search
from tasks.validate.statistics import image_table
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, Unreadable
from tasks.values.validation import DropCheck, DropVerdict

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"

HELD_OUT = 20_000
"""Training images that are no part of the base; drops are drawn from them."""

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
LIBRARIES = ("numpy", "scipy", "scikit-learn", "great-expectations")


class Bench:
    """The base, what drops are drawn from, and a judge that has learned already.

    Args:
        arrays: Folder with `{train,test}_{images,labels}.npy`.
    """

    def __init__(self, arrays: Path) -> None:
        images, labels, test_images, test_labels = (
            np.load(arrays / f"{name}.npy", allow_pickle=False)
            for name in ("train_images", "train_labels", "test_images", "test_labels")
        )
        order = np.random.default_rng(0).permutation(len(labels))
        kept = np.sort(order[HELD_OUT:])
        base, test = (images[kept], labels[kept]), (test_images, test_labels)
        self.material = Material(images, labels, order[:HELD_OUT], *base, *test)
        self.config = ValidateConfig()
        self.dataset = RawDataset(
            name="cifar10",
            artifact=_publish(train_images=base[0], train_labels=base[1], test_images=test[0], test_labels=test[1]),
            class_names=CLASS_NAMES,
            num_train_images=len(kept),
            num_test_images=len(test[1]),
        )
        self.table = pd.concat([image_table(*base, "train"), image_table(*test, "test")])
        self._search = Search(base[0], test[0])
        self.likeness = Likeness(self.dataset, Baselines(), self.config)

    def judge(self, *drafts: Draft) -> DropVerdict:
        """The verdict on the last of some drops, those before it taken first."""
        drops = tuple(self._drop(draft, f"drop {number}") for number, draft in enumerate(drafts))
        dataset = self.dataset.model_copy(update={"drops": drops})
        # Good drops are kept: each verdict starts from the base anew.
        return judge(dataset, self.table, copy(self._search), self.likeness, self.config)[-1]

    def _drop(self, draft: Draft, name: str) -> Drop:
        names = [f"{number}.png" for number in range(len(draft.labels))]
        artifact = _publish(images=draft.images, labels=draft.labels, names=names)
        unreadable = tuple(Unreadable(name=f"cut-{number}.png", reason="cut off") for number in range(1))
        return Drop(
            name=name,
            digest=artifact.digest,
            artifact=artifact,
            num_images=len(draft.labels),
            num_unreadable=draft.num_unreadable,
            unreadable=unreadable if draft.num_unreadable else (),
        )


def main() -> int:
    """Measure, write and print."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="checks-benchmark-") as folder,
        machine.use(machine.Machine(store=Path(folder) / "store")),
    ):
        bench = Bench(prepare(options.source, Path(folder) / "arrays"))
        result: dict[str, Any] = {
            "machine": describe(),
            "versions": installed(*LIBRARIES),
            "repeats": options.repeats,
            "images": options.size,
            "clean": _clean(bench, options.size, options.clean),
            "planted": [*_planted(bench, options.size, options.repeats)],
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"checks-{options.size}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(f"{report(result)}\n{path.relative_to(ROOT)}\n")
    return 0


def _clean(bench: Bench, num_images: int, num_drops: int) -> dict[str, Any]:
    """How many good drops are warned of, and refused, and by which checks."""
    verdicts = [
        bench.judge(bench.material.draw(num_images, np.random.default_rng([1, num_images, number])))
        for number in range(num_drops)
    ]
    told = [check.name for verdict in verdicts for check in _told(verdict)]
    return {
        "images": num_images,
        "drops": num_drops,
        "warned": sum(bool(_told(verdict)) for verdict in verdicts),
        "bad": sum(not verdict.good for verdict in verdicts),
        "checks": {name: told.count(name) for name in sorted(set(told))},
    }


def _told(verdict: DropVerdict) -> list[DropCheck]:
    """What a person is warned of."""
    return [check for check in verdict.failed if check.severity != "info"]


def _planted(bench: Bench, num_images: int, repeats: int) -> Iterator[dict[str, Any]]:
    for name, plant, checks in PLANTS:
        for share in SHARES:
            count = round(share * num_images)
            start = time.perf_counter()
            verdicts = []
            for number in range(repeats):
                rng = np.random.default_rng([2, num_images, number])
                draft = bench.material.draw(num_images, rng)
                plant(bench.material, draft, count, rng)
                verdicts.append(bench.judge(draft))
            yield {
                "fault": name,
                "images": num_images,
                "share": share,
                "repeats": repeats,
                "found": sum(any(check.name in checks for check in _told(verdict)) for verdict in verdicts),
                "bad": sum(not verdict.good for verdict in verdicts),
                "seconds": (time.perf_counter() - start) / repeats,
            }
            sys.stderr.write(f"{num_images:,} images, {name}, {share:.1%}\n")


def report(result: dict[str, Any]) -> str:
    """What became of good drops, and the table of faults, in Markdown."""
    clean, rows = result["clean"], result["planted"]
    lines = [
        f"{clean['drops']} good drops of {clean['images']:,} images: "
        f"{clean['warned']} warned of, {clean['bad']} refused.",
        "",
        f"| fault, in a drop of {result['images']:,} images | {' | '.join(f'{share:.1%}' for share in SHARES)} |",
        f"|---|{'---|' * len(SHARES)}",
    ]
    for name in dict.fromkeys(row["fault"] for row in rows):
        cells = [_cell(row) for row in rows if row["fault"] == name]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    """What became of most drops, and of how many where it was not all."""
    for word, count in (("refused", row["bad"]), ("warned", row["found"])):
        if 2 * count > row["repeats"]:
            return word if count == row["repeats"] else f"{word} {count}/{row['repeats']}"
    return f"warned {row['found']}/{row['repeats']}" if row["found"] else "no"


def _publish(**files: Any) -> store.Reference:
    opened = store.current()
    with opened.staging() as folder:
        for name, content in files.items():
            if isinstance(content, list):
                (folder / f"{name}.json").write_text(json.dumps(content))
            else:
                np.save(folder / f"{name}.npy", content, allow_pickle=False)
        return opened.publish(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.checks", description="Plant faults, count what is found."
    )
    parser.add_argument("--source", default="auto", help="of the images, as `make run` takes it")
    parser.add_argument("--size", type=int, default=1_000, help="images of a drop")
    parser.add_argument("--repeats", type=int, default=5, help="drops for each fault and share")
    parser.add_argument("--clean", type=int, default=200, help="good drops")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
