"""The step train within a flow: what a killed trainer leads to, and what the dashboard has."""

import logging
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from tasks import machine, progress, store
from tasks.machine import Machine
from tasks.train.config import TrainConfig
from tasks.train.step import train
from tests.unit.train.tiny import make_recipe, once, publish_splits, trainer


@pytest.mark.usefixtures("prefect_server")
def test_a_killed_trainer_is_tried_again_and_the_dashboard_shows_how_far_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    # So many that the training is not over before it is killed, however late this process gets its turn.
    recipe = make_recipe(epochs=30)
    # The first delay is ten seconds; nobody has to wait for that here.
    patient = train.with_options(retry_delay_seconds=0)

    @flow
    def train_alone() -> tuple[str, int | None]:
        splits = publish_splits(store.current())
        with progress.listen(once(2, lambda: trainer().kill())):
            return flow_run.id, patient(splits, recipe, 1, TrainConfig()).result.resumed_after_epoch

    with machine.use(Machine(store=tmp_path / "store")):
        run_id, resumed_after = train_alone()

    assert resumed_after is not None
    assert resumed_after >= 1
    assert f"training goes on after epoch {resumed_after} of 30" in caplog.text
    of_this_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]))
    with get_client(sync_client=True) as client:
        shown = {
            artifact.data: str(artifact.description) for artifact in client.read_artifacts(artifact_filter=of_this_run)
        }
    assert shown[100.0].startswith("Recipe tiny: epoch 30 of 30, validation accuracy ")
