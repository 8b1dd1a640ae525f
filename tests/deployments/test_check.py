"""Mistakes in the deployment files are found without a server."""

import asyncio
import logging
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from deployments.check import FOLDER, find_mistakes
from deployments.pools import KINDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "deployments", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


@pytest.fixture
def prefect_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Prefect logs of flows; it does not pass it on to the root."""
    logger = logging.getLogger("prefect.flows")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_the_files_as_they_are_have_none() -> None:
    assert find_mistakes() == []


def test_a_year_of_trainings_have_the_same_date_in_utc_as_on_the_spot() -> None:
    """Runs are named and seeded by the date in UTC, and people look for them by their own."""
    content = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    trainings = [item for item in content["deployments"] if item["entrypoint"] == "flows.retraining:retrain"]
    schedules = [schedule for item in trainings for schedule in item.get("schedules", [])]
    assert {schedule["slug"] for schedule in schedules} == {"weekly", "nightly"}
    start = datetime(2026, 11, 22, tzinfo=UTC)
    for schedule in schedules:
        cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        ticks = asyncio.run(cron.get_dates(n=366, start=start, end=start + timedelta(days=366)))
        assert len(ticks) >= 52
        zone = ZoneInfo(schedule["timezone"])
        off = [tick for tick in ticks if tick.astimezone(UTC).date() != tick.astimezone(zone).date()]
        assert not off, f"{schedule['slug']}: {off[0]}"


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
        *(
            (
                "flows.retraining:retrain",
                entrypoint,
                f"retrain-weekly: entrypoint: '{entrypoint}' is no flow: .+",
            )
            for entrypoint in (
                "flows.retraining:retrian",
                "flows.retrainin:retrain",
                "flow.retraining:retrain",
                "tasks.errors:annotations",
            )
        ),
        ("flows.retraining:retrain", ".retraining:retrain", r"entrypoint: String should match"),
        (
            "name: gpu",
            "name: gpus",
            "retrain-weekly: work_pool: docker: pools.yaml has no pool 'gpus'; it has gpu, cpu",
        ),
        ("parameters: {}", "parameters: {verson: 3}", "promote-manual: parameters: the flow has no 'verson'"),
        ("parameters: {}", "parameters: {version: 0}", "promote-manual: parameters: version: 0 is less than"),
        (
            "parameters: {}",
            'parameters: {}\n    schedules: [{slug: s, cron: "0 3 * * 1", timezone: UTC, active: true}]',
            "promote-manual: parameters: .*version",
        ),
        (
            "$RETRAINING_STORE }}",
            "$RETRAINING_STOR }}",
            r"nothing fills in {{ \$RETRAINING_STOR }}; expected one of .*STORE",
        ),
        ("$RETRAINING_STORE }}", "$RETRAINING-STORE }}", r"nothing fills in {{ \$RETRAINING-STORE }}"),
        *(("working_dir:", "workingdir:", f"{kind}: the template has no variable 'workingdir'") for kind in KINDS),
        *(
            ('device: "{{ $RETRAINING_DEVICE }}"', "device: tpu", f"{kind}: device: 'tpu' is not one of")
            for kind in KINDS
        ),
    ],
)
def test_a_mistyped_file_is_named_with_the_place(
    folder: Path, prefect_log: pytest.LogCaptureFixture, old: str, new: str, message: str
) -> None:
    _replace(folder / "prefect.yaml", old, new)
    mistakes = find_mistakes(folder)
    assert any(re.search(message, line) for line in mistakes), mistakes
    assert all("\n" not in line for line in mistakes)
    assert prefect_log.messages == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "crashed-runs.yaml",
            "for_each:",
            "foreach:",
            "automations/crashed-runs.yaml: trigger.foreach: Prefect has no such key",
        ),
        (
            "failed-runs.yaml",
            "{{ (flow_run",
            "{{ (flow_run(",
            "automations/failed-runs.yaml: actions.0: 'payload' is not a valid template: unexpected '.'",
        ),
        (
            "new-drop.yaml",
            "retrain/retrain-nightly",
            "retrain/nightly",
            "automations/new-drop.yaml: deployment_id: 'retrain/nightly' is no deployment; there are "
            "promote/promote-manual, prune/prune-weekly, retrain/retrain-manual, retrain/retrain-nightly, "
            "retrain/retrain-weekly, rollback/rollback-manual, score/score-daily, watch/watch-drops",
        ),
        (
            "new-drop.yaml",
            '"retraining: new drop"',
            '"retraining: failed runs"',
            "automations/new-drop.yaml: name: 'retraining: failed runs' is that of failed-runs.yaml",
        ),
        (
            "new-drop.yaml",
            "retraining: new drop",
            "new drop",
            "automations/new-drop.yaml: name: expected one that begins with 'retraining: '",
        ),
    ],
)
def test_an_automation_with_a_mistake_is_named_with_the_place(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    path = folder / "automations" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert [message] == [line for line in find_mistakes(folder) if line.startswith(f"automations/{name}")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no automation in it; expected name, trigger and actions"),
        ("- a list", "there is no automation in it; expected name, trigger and actions"),
        ("name: [", "while parsing a flow"),
        ('name: "retraining: x"', "actions: Field required"),
        ('name: "retraining: x"\nactions:', "actions: Input should be a valid list"),
        ('name: "retraining: x"\nactions: [x]', "actions.0.DoNothing: "),
    ],
)
def test_an_automation_that_is_none(folder: Path, text: str, message: str) -> None:
    (folder / "automations" / "new-drop.yaml").write_text(text)
    mistakes = find_mistakes(folder)
    assert any(line.startswith(f"automations/new-drop.yaml: {message}") for line in mistakes), mistakes
    assert all(line.startswith("automations/new-drop.yaml: ") and "\n" not in line for line in mistakes)


@pytest.mark.parametrize("text", ["", "- gpu", "{}"])
def test_pools_that_are_none(folder: Path, text: str) -> None:
    (folder / "work-pools" / "pools.yaml").write_text(text)
    expected = [f"work-pools: {kind}: pools.yaml has no pools; expected them by name" for kind in KINDS]
    assert find_mistakes(folder) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{ store }}", "{{ sture }}", "the job uses 'sture'"),
        ("HEARTBEAT_FREQUENCY", "HEARTBEAT_FREQUENZ", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY is not set"),
        ('"stream_output": "{{ stream_output }}",', "", "'stream_output' is used nowhere"),
        ('"default": "tensorflow"', '"default": "torch"', "gpu: {kind}: backend: 'torch' is not one of"),
        ('"job_configuration": {', '"job_configuration": {{', "Expecting property name"),
    ],
)
def test_a_template_that_does_not_fit_its_variables(folder: Path, kind: str, old: str, new: str, message: str) -> None:
    _replace(folder / "work-pools" / f"{kind}.json", old, new)
    mistakes = find_mistakes(folder)
    assert any(re.search(message.format(kind=kind), line) for line in mistakes), mistakes
    assert all(kind in line for line in mistakes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('visible_devices: "0"', 'visible_device: "0"', "process: .*gpu: 'visible_device' is no variable"),
        ("mem_limit: 16g", "mem_limit: 16gb", "gpu: docker: mem_limit: '16gb' does not match"),
        (
            "Capabilities: [[gpu]]",
            "Capabilities: [gpu]",
            "docker: device_requests: 0: Capabilities: 0: 'gpu' is not of",
        ),
        (
            "memory: 16Gi",
            "store_volume: {name: store, nfs: {server: a, path: /b}}",
            "kubernetes: 'store_mount' is a dep",
        ),
        ("gpu_count: 1", "gpu_count: 0", "gpu: kubernetes: gpu_count: 0 is less than the minimum of 1"),
        ("concurrency_limit: 100", "concurrency_limit: 0", r"gpu\.concurrency_limit|concurrency_limit: Input"),
        ("description: Trainings", "descripton: Trainings", "descripton: Extra inputs"),
    ],
)
def test_a_default_that_no_job_could_have(folder: Path, old: str, new: str, message: str) -> None:
    _replace(folder / "work-pools" / "pools.yaml", old, new)
    mistakes = find_mistakes(folder)
    assert any(re.search(message, line) for line in mistakes), mistakes


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
