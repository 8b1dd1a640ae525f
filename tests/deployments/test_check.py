"""Mistakes in the deployment files are found without a server."""

import re
import shutil
from pathlib import Path

import pytest

from deployments.check import FOLDER, find_mistakes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "deployments", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


def test_the_files_as_they_are_have_none() -> None:
    assert find_mistakes() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("recipe: fast", "recipe: fastest", r"retrain-weekly: parameters: .*train\.recipe"),
        ("recipe: fast", "recip: fast", r"retrain-weekly: parameters: .*train\.recip"),
        ("train:", "trian:", "retrain-weekly: parameters: .*trian"),
        ("source: cifar10", "source: auto", "source must be named"),
        ("seed: date", "seed: today", r"train\.seed"),
        ("images: /srv/images", "imgs: /srv/images", r"score-daily: parameters: .*imgs"),
        ("schedules:", "shedules:", r"deployments\.0\.shedules: Extra inputs"),
        ("concurrency_limit:", "concurency_limit:", "concurency_limit"),
        ("0 3 * * 1", "0 25 * * 1", "schedule weekly: cron"),
        ("Europe/Zurich", "Europe/Zurick", "schedule weekly: timezone"),
        ("flows.retraining:retrain", "flows/retraining.py:retrain", "entrypoint"),
        ("name: gpu", "name: gpus", r"no template work-pools/gpus\.json; there are gpu"),
        ("parameters: {}", "parameters: {verson: 3}", "promote-manual: parameters: the flow has no 'verson'"),
        ("parameters: {}", "parameters: {version: 0}", "promote-manual: parameters: version: 0 is less than"),
        (
            "parameters: {}",
            'parameters: {}\n    schedules: [{slug: s, cron: "0 3 * * 1", timezone: UTC, active: true}]',
            "promote-manual: parameters: .*version",
        ),
        ("working_dir:", "workingdir:", "no variable 'workingdir'"),
        ('device: "{{ $RETRAINING_DEVICE }}"', "device: tpu", "'tpu' is not one of"),
    ],
)
def test_a_mistyped_file_is_named_with_the_place(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / "prefect.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    mistakes = find_mistakes(folder)
    assert any(re.search(message, line) for line in mistakes), mistakes
    assert all("\n" not in line for line in mistakes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{ store }}", "{{ sture }}", "the job uses 'sture'"),
        ('"stream_output": "{{ stream_output }}",', "", "'stream_output' is used nowhere"),
    ],
)
def test_a_template_that_does_not_fit_its_variables(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / "work-pools" / "gpu.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert any(message in line for line in find_mistakes(folder))
