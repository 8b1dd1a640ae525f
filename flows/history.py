"""What the store remembers of a model, for the report: whatever is wrong with it is said there and stops nothing."""

import logging

from flows.execution import one_line
from tasks import store
from tasks.ledger import LedgerEntry, open_ledger
from tasks.report.past_runs import past_runs
from tasks.values.history import ModelHistory, PastRun, Promotion

logger = logging.getLogger(__name__)

NUM_PROMOTIONS = 12


def read(model_name: str, run_id: str) -> ModelHistory:
    """The last promotions and runs of a registered model.

    Args:
        model_name: The registered model's.
        run_id: The run that is being reported; it is not among the past ones.
    """
    entries: list[LedgerEntry] = []
    problem = ""
    try:
        entries = open_ledger(model_name).entries()
    except Exception as error:  # a damaged ledger stops promotions, not the report that says so
        problem = one_line(error)
        logger.warning("The report has no promotions: %s", problem)
    runs: tuple[PastRun, ...] = ()
    num_unreadable = 0
    try:
        runs, num_unreadable = past_runs(store.current().shared("runs"), model_name, run_id)
    except Exception as error:
        logger.warning("The report has no past runs: %s", one_line(error))
    return ModelHistory(
        model_name=model_name,
        promotions=tuple(map(_promotion, reversed(entries[-NUM_PROMOTIONS:]))),
        num_promotions=len(entries),
        problem=problem,
        runs=runs,
        num_unreadable=num_unreadable,
    )


def _promotion(entry: LedgerEntry) -> Promotion:
    return Promotion.model_validate(entry.model_dump(include=set(Promotion.model_fields)))
