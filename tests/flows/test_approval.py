"""What a run that waits for a person keeps, and what it does where that cannot be read."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flows import approval
from flows.approval import Waiting
from tasks import machine, retention, store
from tasks.champions import RECORD_TAG
from tasks.machine import Machine
from tasks.register.config import RegisterConfig
from tasks.register.registration import conclude, register_model
from tasks.report.contents import ReportContents
from tasks.report.summary import WAITING
from tasks.retention import RetentionConfig
from tasks.values.decision import Approval
from tests.promotions import NAME, tags
from tests.unit.register.test_registration import make_candidate
from tests.unit.test_retention import age, leave_run, publish, there


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with machine.use(Machine(store=tmp_path / "store")):
        yield store.current().folder("runs", "a-run")


@pytest.mark.usefixtures("folder")
def test_a_run_that_was_never_suspended_begins_at_its_top() -> None:
    assert approval.find("a-run") is None


def test_so_does_one_whose_file_newer_code_cannot_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.joinpath(WAITING).write_text('{"contents": {}, "form": 2}')
    with caplog.at_level(logging.WARNING):
        assert approval.find("a-run") is None
    assert "The run begins again, for " in caplog.text


@pytest.fixture
def waiting(folder: Path) -> Waiting:
    """Of the run `id`, for 30 days."""
    rule = RegisterConfig(policy="improve", require_approval=True, approval_hours=720)
    candidate = make_candidate(0.5, "a")
    contents = ReportContents(run=candidate.run, steps=(), registration=register_model(candidate, rule), versions={})
    found = Waiting(contents=contents, candidate=candidate)
    approval.keep(found)
    leave_run(store.current(), "id", outcome="waiting", model_name=NAME, model_version=1)
    return found


@pytest.mark.parametrize(("days", "stays"), [(0, True), (43, True), (45, False)])
def test_what_a_run_waits_with_is_not_pruned_before_its_time_is_up(waiting: Waiting, days: int, stays: bool) -> None:
    """And for as long as anything else after that: somebody has to resume it even then, for the refusal."""
    opened = store.current()
    unused = publish(opened, a_npy="unused")
    registration = waiting.contents.registration
    assert registration is not None
    assert registration.waits_until is not None
    until = registration.waits_until - timedelta(days=days)
    contents = waiting.contents.model_copy(
        update={"registration": registration.model_copy(update={"waits_until": until})}
    )
    approval.keep(waiting.model_copy(update={"contents": contents}))
    # Another version is the challenger by now, so that nothing but the run itself holds on to the model.
    register_model(make_candidate(0.4, "b", run_id="another"), RegisterConfig(policy="never"))
    age(opened.root, 365)
    leave_run(opened, "later")
    retention.prune(RetentionConfig(keep_runs=1, max_age_days=14), apply=True, waiting=pytest.fail)
    assert not there(opened, unused)
    assert there(opened, waiting.candidate.model.artifact) == stays
    assert there(opened, tags(opened.root, 1)[RECORD_TAG]) == stays
    found = approval.find("id")
    assert (found is not None) == stays
    if found is not None:
        assert found.candidate == waiting.candidate
        yes = Approval(promote=True, actor="Jane Doe", reason="it is needed", hours=720)
        asked = found.contents.registration
        assert asked is not None
        concluded = conclude(found.candidate, asked, yes, RegisterConfig(require_approval=True))
        assert concluded.verdict == "promoted"
