"""What register gives."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.values.decision import Decision

Verdict = Literal["promoted", "refused", "unchanged", "waiting"]
"""Waiting is what the gate would promote, until a person has said so."""


class Registration(BaseModel):
    """The model's place in the registry and what was decided about it.

    Attributes:
        model_name: The registered model's name; never the real one's for practice or unofficial data.
        version: The version that holds this model, new or found.
        verdict: What became of it.
        sentence: The verdict in one sentence that a manager understands.
        champion_version: The champion's version after this run.
        ledger_entry: Number of the ledger's entry that promoted it; None where nothing was promoted.
        run_id: MLflow's run.
        decision: The evidence; None where nothing was decided anew, or another run promoted in between.
        num_decisions: How often the test images were used for a decision, this one included.
        waits_until: When a promotion that waits for a person's word is refused; None where none waits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    version: int = Field(ge=1)
    verdict: Verdict
    sentence: str
    champion_version: int | None
    ledger_entry: int | None
    run_id: str
    decision: Decision | None = None
    num_decisions: int = Field(0, ge=0)
    waits_until: AwareDatetime | None = None
