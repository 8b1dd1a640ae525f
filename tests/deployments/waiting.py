"""A run that waits for a person."""

from typing import Literal

from prefect import State, flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Completed


class Approval(RunInput):
    """May it go on?"""

    decision: Literal["promote", "refuse"] = "refuse"


@flow
def waiting() -> State[None]:
    """Ends with what was decided as its message."""
    answer = suspend_flow_run(wait_for_input=Approval, timeout=3600)
    return Completed(message=answer.decision)
