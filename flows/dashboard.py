"""What a run leaves on the dashboard beside its artifacts: the message of its last state, its tags, an event."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.states import Completed, Failed

from flows.execution import StepFailedError
from tasks.errors import PipelineError
from tasks.report.summary import Summary
from tasks.values.execution import RunInfo

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

VERDICTS = ("promoted", "refused", "unchanged", "waiting")


def ended(result: R, sentence: str) -> R:
    """What a flow returns so that its last state says a sentence; whoever calls the flow gets the result itself."""
    return cast(R, Completed(message=sentence, data=result))


def failing_in_words(function: Callable[P, R]) -> Callable[P, R]:
    """Of a flow's function: its failure is the message of the last state, from the first word on.

    Prefect's own message of a raised error begins with the error's class and more words than a page shows of it.
    Whoever calls the flow gets the error raised all the same.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except PipelineError as error:
            cause = error.cause if isinstance(error, StepFailedError) else error
            if not isinstance(cause, PipelineError):
                logger.error("Nobody has foreseen this failure:", exc_info=cause)
            text = str(error) if isinstance(error, StepFailedError) else f"{type(error).__name__}: {error}"
            return cast(R, Failed(message=text, data=error))

    return run


def tell(summary: Summary) -> None:
    """Tag the run with its data, model version and verdict, and emit the event of the verdict; never fails the run."""
    try:
        _tag(summary)
        _emit(summary)
    except Exception as error:  # whatever a server does, the verdict stands
        logger.warning("The dashboard has no tags or event of this run: %s", error)


def rename(info: RunInfo) -> None:
    """Call the run by what is known of it by now, as by its seed; never fails the run."""
    if info.run_name == runtime.flow_run.name:
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(info.run_id), name=info.run_name)
    except Exception as error:  # whatever a server does, it is a name
        logger.warning("The dashboard has an earlier name of this run: %s", error)


def _tag(summary: Summary) -> None:
    """Beside the tags that the run has, in place of those of a verdict that waited."""
    found = [f"data:{summary.dataset.digest[:12]}"] if summary.dataset is not None else []
    if summary.model_name is not None and summary.model_version is not None:
        found.append(f"{summary.model_name}:v{summary.model_version}")
    if summary.outcome in VERDICTS:
        found.append(summary.outcome)
    run_id = UUID(summary.run_id)
    with get_client(sync_client=True) as client:
        kept = [tag for tag in client.read_flow_run(run_id).tags if tag not in VERDICTS]
        client.update_flow_run(run_id, tags=sorted({*kept, *found}))


def _emit(summary: Summary) -> None:
    """`retraining.promoted` and so on, which automations may act on; none for a run that came to no verdict."""
    if summary.outcome not in VERDICTS:
        return
    emit_event(
        event=f"retraining.{summary.outcome}",
        resource={
            "prefect.resource.id": f"retraining.model.{summary.model_name}",
            "prefect.resource.name": str(summary.model_name),
        },
        payload={"sentence": summary.verdict, "version": summary.model_version, "run_name": summary.run_name},
    )


def deployment_name(prefix: str) -> str:
    """The deployment's name for a run's, without what the flow's name says already; "local" where there is none.

    Args:
        prefix: Of the deployments of the flow, such as "retrain-".
    """
    return (runtime.deployment.name or "local").removeprefix(prefix)
