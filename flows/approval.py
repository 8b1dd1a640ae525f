"""A promotion that waits for a person: the run is suspended, a click on the dashboard goes on with it.

Meanwhile neither the worker nor the device is held. What the run came to is kept in its folder, so that it goes on from
there: from the top it might find other drops or other code, and would train what nobody was asked about.
"""

import logging
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar, Literal
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks import store
from tasks.errors import ConfigurationError
from tasks.promotion import MAX_ACTOR_LENGTH, MAX_REASON_LENGTH
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.report.contents import ReportContents
from tasks.report.summary import WAITING
from tasks.shared_folder import SharedFolder
from tasks.values.decision import Approval

logger = logging.getLogger(__name__)

CLOCKS_DIFFER_SECONDS = 300.0
"""By how much the clocks of worker and server may: a run that is resumed so shortly before its time is up is late."""


class Waiting(BaseModel):
    """What a run came to before it was suspended.

    Attributes:
        contents: All that its steps gave, with the registration that waits.
        candidate: What was registered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    contents: ReportContents
    candidate: Candidate


class Answer(RunInput):
    """What a person says on the dashboard. An answer without name or reason is refused before the run goes on."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        json_schema_extra={
            # Whoever resumes the run when its time is up gives no decision, and so needs none of these.
            "if": {"required": ["decision"]},
            "then": {
                "required": ["name", "reason"],
                "properties": {name: {"minLength": 1, "pattern": r"\S"} for name in ("name", "reason")},
            },
        },
    )

    decision: Literal["refuse", "promote"] = Field(
        "refuse", title="Decision", description="promote: the model becomes champion. refuse: it does not."
    )
    name: str = Field(
        "", max_length=MAX_ACTOR_LENGTH, title="Your name", description="Needed; kept in the ledger for good."
    )
    reason: str = Field(
        "", max_length=MAX_REASON_LENGTH, title="Reason", description="Why, in a sentence. Needed; kept for good."
    )


def check(rule: RegisterConfig) -> None:
    """See, before anything is trained, that the run can be suspended, and goes on when a person has answered.

    Raises:
        ConfigurationError: if it is no deployment's, or of one whose runs are cancelled beside another.
    """
    if not rule.asks_a_person:
        return
    if runtime.deployment.id is None:
        raise ConfigurationError(
            "register.require_approval is on and this run is no deployment's; expected one that a worker runs, since "
            "only that can be suspended until a person answers. Start a deployment such as retrain-manual, or leave "
            "it off."
        )
    with get_client(sync_client=True) as client:
        options = client.read_deployment(UUID(str(runtime.deployment.id))).concurrency_options
    if options is not None and options.collision_strategy == ConcurrencyLimitStrategy.CANCEL_NEW:
        # A run that is resumed asks for its place anew, and would be cancelled with the answer.
        raise ConfigurationError(
            f"register.require_approval is on, and {runtime.deployment.name} cancels runs that find another at work; "
            "expected a deployment whose runs wait for each other (ENQUEUE), such as retrain-manual, since a run that "
            "is resumed beside another would be cancelled and the answer lost. Start that, or leave it off."
        )


def keep(waiting: Waiting) -> None:
    """Write what a run came to into its folder, whole or not at all."""
    _folder(waiting.contents.run.run_id).write(WAITING, waiting.model_dump_json() + "\n")


def find(run_id: str) -> Waiting | None:
    """What a run came to before it was suspended; None where it was not, or newer code cannot read it any more."""
    folder = _folder(run_id)
    found = folder.read([WAITING]).get(WAITING)
    if found is None:
        return None
    try:
        return Waiting.model_validate_json(found)
    except ValidationError as error:
        logger.warning(
            "The run begins again, for %s is not of this version of the code: %s", folder.place(WAITING), error
        )
        return None


def ask(waiting: Waiting, description: str) -> Approval:
    """What a person says. The first time this suspends the run, which ends its process; the answer is there when the
    run was resumed.

    Args:
        waiting: What they are asked about.
        description: What they see above the form, in Markdown.
    """
    registration, hours = waiting.contents.registration, _hours(waiting)
    assert registration is not None, "there is something to approve of"
    until = registration.waits_until
    assert until is not None, "it waits"
    form = Answer.with_initial_data(description=description)
    for number in count(1):
        key = f"approval-{_question(waiting)}-{number}"
        # Without Prefect's own time limit, at which its server fails the run: nobody's answer is a refusal.
        answer = suspend_flow_run(wait_for_input=form, key=key)
        answered_at = _answered_at(key)
        if answered_at is None:
            if datetime.now(UTC) + timedelta(seconds=CLOCKS_DIFFER_SECONDS) >= until:
                return Approval(promote=False, actor=None, reason="", hours=hours)
            logger.warning("The run was resumed without an answer, and asks again until %s.", until)
        elif answered_at > until:
            late = f"{answer.name} said {answer.decision} at {answered_at:%Y-%m-%d %H:%M} UTC"
            return Approval(promote=False, actor=None, reason=late, hours=hours)
        else:
            return Approval(
                promote=answer.decision == "promote", actor=_line(answer.name), reason=_line(answer.reason), hours=hours
            )
    raise AssertionError("count never ends")


def _folder(run_id: str) -> SharedFolder:
    return store.current().shared("runs", run_id)


def _question(waiting: Waiting) -> str:
    """What was asked: an answer counts for this model against this champion, and for no other that the run comes to."""
    champion = waiting.candidate.opponents.champion
    model = waiting.candidate.model.result.model_sha256[:12]
    return f"{model}-against-{champion.entry if champion is not None else 'none'}"


def _hours(waiting: Waiting) -> float:
    return RegisterConfig.model_validate(waiting.contents.run.configuration["register"]).approval_hours


def _answered_at(key: str) -> datetime | None:
    """When a question was answered, by the server's clock; None where the run was resumed without an answer."""
    with get_client(sync_client=True) as client:
        found: Any = client.filter_flow_run_input(
            flow_run_id=UUID(str(runtime.flow_run.id)),
            key_prefix=f"suspended-{key}-response",
            limit=1,
            exclude_keys=set(),
        )
    return datetime.fromtimestamp(found[0].created.timestamp(), UTC) if found else None


def _line(text: str) -> str:
    return " ".join(text.split())
