"""A machine that dies in the middle of a training: worker and run are killed with -9, and the next run goes on."""

import re
from pathlib import Path

import pytest

from tasks.store import CHECKPOINTS
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import PATIENCE_SECONDS, RUN_SECONDS, ended, find_descendant, wait_for
from tests.service import running

# So many that the training is not over before it is killed, however late this process gets its turn.
EPOCHS = 60
PARAMETERS = {**SMALL, "train": {**SMALL["train"], "epochs": EPOCHS}}


@pytest.mark.timeout(900)
@pytest.mark.service
def test_the_next_run_on_another_worker_goes_on_after_the_last_epoch(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        worker = service.start_worker("first")
        killed = service.run("retrain/retrain-manual", PARAMETERS)
        trainer = wait_for(
            lambda: find_descendant("cnn_model", "train", of=worker.pid), lambda: worker.poll() is None, RUN_SECONDS
        )
        checkpoints = service.store / CHECKPOINTS
        wait_for(lambda: any(checkpoints.rglob("epoch-*.json")) or ended(trainer))
        assert not ended(trainer), "the training was over before"
        flow = trainer.parent()
        assert flow is not None
        # The worker first: it would report the run as crashed.
        worker.kill()
        worker.wait(timeout=PATIENCE_SECONDS)
        flow.kill()
        # Its standard input is closed, and nobody else would end it.
        wait_for(lambda: ended(trainer))
        wait_for(lambda: ended(flow))
        assert service.state(killed)["type"] == "RUNNING"

        # What the automation for dead runs does, after it has missed three heartbeats.
        crashed = {"state": {"type": "CRASHED", "message": "No heartbeat."}, "force": True}
        servers.post(service.environ, f"/flow_runs/{killed}/set_state", crashed)
        second = service.start_worker("second")
        again = service.run("retrain/retrain-manual", PARAMETERS)
        state = service.wait(again, [second])
        assert state["type"] == "COMPLETED", state["message"]
        log = "\n".join(service.logs(again))
        goes_on = re.search(rf"training goes on after epoch (\d+) of {EPOCHS}", log)
        assert goes_on is not None, log
        assert int(goes_on[1]) >= 1
        assert "Waiting for the same training" not in log
        summary = service.summary(again)
        assert summary["outcome"] == "promoted"
        assert f"resumed after epoch {goes_on[1]}" in Path(summary["report"]).read_text()
        assert {name: summary["steps"][name]["outcome"] for name in ("ingest", "validate", "preprocess", "train")} == {
            "ingest": "cached",
            "validate": "cached",
            "preprocess": "cached",
            "train": "ran",
        }
        assert not any(checkpoints.iterdir()), "a finished training needs them no more"
