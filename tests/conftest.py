"""What all tests share: a store of their own, a dataset in the real format, registries to start from."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks import machine, store
from tasks.machine import Machine
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tests import mlflow_server
from tests.mlflow_server import MlflowServer
from tests.s3 import ENVIRONMENT, started

if TYPE_CHECKING:
    from tests.unit.ingest.places import BucketPlace


def pytest_configure() -> None:
    """Have the processes that tests start hear SIGINT: a shell has what is in its background ignore it, and what that
    starts. Prefect's worker ends by it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and say so, what needs real images where none are named."""
    if os.environ.get("CIFAR10_SOURCE"):
        return
    without = [item for item in items if "real_data" in item.keywords]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if "real_data" not in item.keywords]


@pytest.fixture
def opened_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store that is the current one."""
    with machine.use(Machine(store=tmp_path / "store")):
        yield store.current()


@pytest.fixture(scope="session")
def promoted_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three registered models, of which two were promoted. Tests leave it as it is."""
    from tests.promotions import make_store  # MLflow takes seconds, and most tests need none

    folder = tmp_path_factory.mktemp("promoted") / "store"
    make_store(folder)
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 server on this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server, url = started()
    yield url
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leads the driver to that server, and past a developer's proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_endpoint: str, s3_environment: None) -> "Iterator[BucketPlace]":
    """An empty bucket, and the environment that leads there."""
    from tests.unit.ingest.places import BucketPlace  # its client takes a while, and most tests need none

    place = BucketPlace(s3_endpoint)
    yield place
    place.destroy()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite as a first run makes it, which takes seconds."""
    from tasks.registry import Registry

    folder = tmp_path_factory.mktemp("registry")
    with machine.use(Machine(store=folder)):
        Registry()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def running_server() -> Iterator[MlflowServer]:
    """An MLflow server on PostgreSQL, for tests that are marked `service`."""
    with mlflow_server.running() as server:
        yield server


@pytest.fixture
def empty_server(running_server: MlflowServer) -> MlflowServer:
    """The server, without anything in it."""
    running_server.empty()
    return running_server


@pytest.fixture
def noise_dataset(opened_store: Store) -> RawDataset:
    """300 training and 60 test images of noise, ten classes in equal numbers."""
    return publish_noise(opened_store, num_train=300, num_test=60)


def publish_noise(target: Store, num_train: int, num_test: int, seed: int = 0) -> RawDataset:
    """A practice dataset of noise with the channel means of photographs."""
    rng = np.random.default_rng(seed)
    train, test = (rng.integers(0, 240, (size, 32, 32, 3), dtype=np.uint8) for size in (num_train, num_test))
    return publish_arrays(target, train, test)


def publish_arrays(target: Store, train: np.ndarray, test: np.ndarray) -> RawDataset:
    """A practice dataset of these images, with the ten classes in turn."""
    with target.staging() as folder:
        for split, images in (("train", train), ("test", test)):
            np.save(folder / f"{split}_images.npy", images)
            np.save(folder / f"{split}_labels.npy", (np.arange(len(images)) % 10).astype(np.uint8))
        return RawDataset(
            name="synthetic",
            artifact=target.publish(folder),
            class_names=CLASS_NAMES,
            num_train_images=len(train),
            num_test_images=len(test),
        )
