"""A training that one machine begins and another ends: two processes with caches of their own, one bucket."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tasks import machine, store
from tasks.machine import Machine
from tasks.train.config import TrainConfig
from tasks.train.step import train
from tests.processes import wait_for
from tests.unit.ingest.places import BucketPlace
from tests.unit.train.tiny import make_recipe, publish_splits

EPOCHS = 60
"""So many that the training is not over before it is killed, however late this process gets its turn."""

URL = "s3://team/incoming/drops/store"

BEGIN = """
import sys
from pathlib import Path
from tasks import machine, shared_prefix, store
from tasks.machine import Machine
from tasks.train.config import TrainConfig
from tasks.train.step import train
from tests.unit.train.tiny import make_recipe, publish_splits
shared_prefix.FOLLOW_SECONDS = 0.05
with machine.use(Machine(store=Path(sys.argv[2]), bucket=sys.argv[1])):
    train.fn(publish_splits(store.current()), make_recipe(int(sys.argv[3])), 1, TrainConfig())
"""


def checkpoints_in(bucket: BucketPlace) -> list[str]:
    return sorted(
        name.rpartition("/")[2] for name in bucket.names() if "/checkpoints/" in name and name.endswith(".json")
    )


def test_a_training_whose_machine_is_lost_goes_on_on_another(bucket: BucketPlace, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BEGIN, URL, str(tmp_path / "lost"), str(EPOCHS)]
    lost = psutil.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: checkpoints_in(bucket), alive=lambda: lost.poll() is None)
    finally:
        for process in (lost, *lost.children(recursive=True)):
            # The trainer ends by itself when its parent is gone.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        lost.wait()
    last = int(checkpoints_in(bucket)[-1].removeprefix("epoch-").removesuffix(".json"))

    with machine.use(Machine(store=tmp_path / "other", bucket=URL)):
        model = train.fn(publish_splits(store.current()), make_recipe(EPOCHS), 1, TrainConfig())
        assert store.current().fetch(model.artifact).joinpath("model.keras").exists()

    # One that was just being sent may have arrived after the look.
    assert model.result.resumed_after_epoch is not None
    assert 1 <= last <= model.result.resumed_after_epoch < EPOCHS
    assert [epoch.epoch for epoch in model.result.history] == list(range(1, EPOCHS + 1))
    assert checkpoints_in(bucket) == []
    assert any(name.endswith(f"{model.artifact.digest}/model.keras") for name in bucket.names())
