"""Pruning as a flow, for a schedule and the dashboard; the command line is `flows.pruning`."""

import logging
import os
from typing import Any

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed

from flows import dashboard, pruning_words
from flows.logs import logs_sent_to_dashboard
from tasks import machine
from tasks import retention as past
from tasks.retention import RetentionConfig

logger = logging.getLogger(__name__)


@flow(name="prune", flow_run_name="prune")
@dashboard.failing_in_words
def prune(retention: RetentionConfig = RetentionConfig(), apply: bool = False) -> State[Any]:
    """Remove from the store what nothing needs any more: old results, artifacts, bundles, runs.

    What the ledger names, the last runs and whatever was used lately stay.

    Args:
        retention: How much of the past stays.
        apply: Whether to remove anything; else the run only says what would go.

    Raises:
        ConfigurationError: if there is no store.
        RegistryError: if ledger and registry cannot say for sure what they need; nothing is removed then.
        RegistryUnreachableError: if the registry does not answer.
        StoreError: if the store cannot be written.
    """
    with machine.use(machine.current() or machine.from_environment(os.environ)), logs_sent_to_dashboard():
        found = past.prune(
            retention, apply=apply, waiting=lambda holder: logger.info("Waiting for another pruning: %s.", holder)
        )
        sentence = pruning_words.sentence(found)
        create_markdown_artifact(key="pruning", markdown=pruning_words.markdown(found), description=sentence)
        return Completed(message=sentence)
