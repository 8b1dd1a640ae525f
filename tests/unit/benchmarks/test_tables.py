import pytest

from benchmarks import tables
from benchmarks.tables import Result, Trial


def _trial(seconds: float, epoch_seconds: list[float], **changes: object) -> Trial:
    compiling = tables.compile_seconds(epoch_seconds)
    return {
        "seconds": seconds,
        "compile_seconds": compiling,
        "seconds_without_compiling": None if compiling is None else seconds - compiling,
        "epoch_seconds": epoch_seconds,
        "accuracy": 0.94,
        "accuracy_of_one_view": 0.93,
        "peak_memory_bytes": 2**30,
        "gpu_peak_memory_bytes": 3 * 2**30,
        "operations_per_second": 2e11,
        "precision": "bfloat16",
        **changes,
    }


@pytest.fixture
def result() -> Result:
    """A machine without a GPU."""
    return {
        "machine": {"summary": "2 cores of a processor, Python 3.11"},
        "versions": {"keras": "3.15.1", "numpy": "2.4.0"},
        "device": "CPU",
        "backend": "tensorflow",
        "quick": False,
        "tutorial": [_trial(100.0, [10.0], accuracy=0.70), _trial(120.0, [10.0], accuracy=0.71)],
        "tutorial_seconds": 110.0,
        "ours": [_trial(10.0, [9.0], accuracy=0.72), _trial(12.0, [9.0], accuracy=0.70)],
        "ours_over_tutorial": 0.1,
        "matrices": {"operations_per_second": {"float32": 1e11, "bfloat16": 4e11}},
        "inference": [{"threads": 1, "images_per_second": 900.0, "images_per_second_of_keras": 450.0}],
        "fast": _trial(130.0, [14.0, 12.0], epochs=10),
    }


@pytest.fixture
def on_gpu(result: Result) -> Result:
    """Two seeds of 2 and 4 seconds without compiling, epochs of 0.3 s."""
    seeds = [_trial(22.0, [20.3, 0.3, 0.3], accuracy=0.941), _trial(24.0, [20.3, 0.3, 0.3], accuracy=0.939)]
    return {**result, "device": "NVIDIA H200", "backend": "jax", "accurate": seeds}


@pytest.fixture
def with_torch(on_gpu: Result) -> Result:
    """PyTorch takes 2 seconds when it is warm, epochs of 0.2 s."""
    theirs = [_trial(5.0, [0.2, 0.2, 0.2], compile_seconds=3.0, seconds_without_compiling=2.0)]
    return {**on_gpu, "torch": theirs, "accurate_over_torch": tables.times_as_long(on_gpu["accurate"], theirs)}


def _rows(text: str) -> dict[str, list[str]]:
    """The cells of each row by its first."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_compiling_is_what_the_first_epoch_takes_longer():
    assert tables.compile_seconds([20.5, 0.4, 0.6]) == pytest.approx(20.0)
    assert tables.compile_seconds([0.4, 0.6]) == 0.0
    assert tables.compile_seconds([20.5]) is None


def test_ratios_leave_compiling_out(with_torch: Result):
    ratios = with_torch["accurate_over_torch"]

    assert ratios == {"training": pytest.approx(3.0 / 2.0), "epoch": pytest.approx(0.3 / 0.2)}


def test_without_a_gpu_the_table_is_the_tutorials(result: Result):
    text = tables.report(result)

    rows = _rows(text)
    assert rows["seconds of training"] == ["110.0", "11.0", "1/10.0"]
    assert rows["test accuracy"][0] == "0.7050 (0.7000 to 0.7100, n = 2)"
    assert rows["seeds at 0.7029 or more"][1] == "1 of 2; one view 2"
    assert rows["peak memory"] == ["1,024 MiB", "1,024 MiB", ""]
    assert "keras 3.15.1, numpy 2.4.0" in text
    assert "`fast`, 10 epochs: 130.0 s" in text
    assert "accurate" not in text


def test_on_a_gpu_accurate_stands_beside_the_published_figures(on_gpu: Result):
    text = tables.report(on_gpu)

    rows = _rows(text)
    assert rows["seconds of training, without compiling"] == ["3.00", "3.83, compiled 3.29"]
    assert rows["seconds of an epoch but the first"] == ["0.300", ""]
    assert rows["test accuracy"] == ["0.9400 (0.9390 to 0.9410, n = 2)", "0.9401 (n = 1000)"]
    assert rows["peak memory of the GPU"] == ["3,072 MiB", ""]
    assert "PyTorch was not there to compare with." in text
    assert "NVIDIA H200, Keras on jax" in text


def test_on_a_gpu_with_torch_the_ratio_is_told_against_its_target(with_torch: Result):
    text = tables.report(with_torch)

    assert _rows(text)["seconds of training, without compiling"] == ["3.00", "2.00", "3.83, compiled 3.29"]
    assert "`accurate` takes 1.50 times as long as PyTorch, within 1.5; an epoch 1.50 times." in text
    slower = {**with_torch, "torch": [{**with_torch["torch"][0], "seconds_without_compiling": 1.9}]}
    assert "1.58 times as long as PyTorch, beyond 1.5" in tables.report(slower)


def test_accurate_alone_is_a_table_of_its_own(with_torch: Result):
    left_out = ("tutorial", "tutorial_seconds", "ours", "ours_over_tutorial", "matrices", "inference", "fast")
    text = tables.report({name: value for name, value in with_torch.items() if name not in left_out})

    assert "tutorial" not in text
    assert "`accurate` takes 1.50 times" in text
    lengths = {line.count("|") for line in text.splitlines() if line[:1] == "|"}
    assert lengths == {5}
