"""What a training needs of its machine, and how its lack is said."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import machine, store
from tasks.errors import ConfigurationError, DeviceError, MemoryShortError, StoreError
from tasks.machine import Machine
from tasks.store import Store
from tasks.train import plan, preflight


def test_a_machine_that_has_it_all_passes_without_a_child(opened_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: started.append(arguments))
    preflight.check()
    assert started == []


def test_too_little_memory_says_what_is_free_and_what_is_needed(
    opened_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "MEMORY_BYTES", 2**60)
    with pytest.raises(MemoryShortError, match=r"^[\d,]+ MiB of memory are free; .* up to 1,099,511,627,776 MiB\. End"):
        preflight.check()


def test_too_little_disk_says_what_is_free_and_what_is_needed(
    opened_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DISK_BYTES", 2**60)
    with pytest.raises(StoreError, match=r"has [\d,]+ MiB free; a run takes up to 1,099,511,627,776 MiB\. .*--store"):
        preflight.check()


@pytest.mark.parametrize(("device", "extra"), [("cpu", "jax"), ("gpu", "jax-gpu")])
def test_a_backend_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: machine.Device, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with (
        machine.use(Machine(store=tmp_path, device=device, backend="jax")),
        pytest.raises(ConfigurationError, match=f"jax is wanted and not installed; run `make sync EXTRAS={extra}`,"),
    ):
        preflight.check()


def test_jax_is_asked_for_its_device(tmp_path: Path) -> None:
    with machine.use(Machine(store=tmp_path, device="cpu", backend="jax")):
        preflight.check()


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_gpu_that_is_not_there_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: machine.Backend
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with (
        machine.use(Machine(store=tmp_path, device="gpu", backend=backend)),
        pytest.raises(DeviceError, match=r"no GPU is visible to the framework; .* `auto` or `cpu`"),
    ):
        preflight.check()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_gpu_that_the_framework_does_not_see_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hidden: bool
) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(plan, "NVIDIA_GPU", tmp_path / "nvidia0")
    # A number that no GPU has: the framework sees none, and nobody hid them all.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1" if hidden else "99")
    with machine.use(Machine(store=tmp_path)):
        plan.check_device()
    assert ("has an NVIDIA GPU and tensorflow sees none: training on the CPU" in caplog.text) != hidden


def test_checkpoints_that_nobody_came_back_for_are_cleared(opened_store: Store) -> None:
    old, young = (opened_store.folder(store.CHECKPOINTS, name) for name in ("old", "young"))
    long_ago = time.time() - store.LEFT_MAX_AGE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    opened_store.check_writable()
    assert not old.exists()
    assert young.exists()
