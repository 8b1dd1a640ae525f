"""Runs the expectations with Great Expectations and puts its results into words.

An ephemeral context: nothing is stored, nothing is sent, and several may run at once.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import great_expectations as gx
import pandas as pd

from tasks.validate.suite import NamedExpectation
from tasks.values.validation import Check


def run_checks(table: pd.DataFrame, name: str, expectations: Sequence[NamedExpectation]) -> list[Check]:
    """Check one table.

    Args:
        table: What is checked.
        name: Its name, for Great Expectations' own records.
        expectations: What is expected of it.

    Returns:
        One check an expectation, in order.

    Raises:
        RuntimeError: if Great Expectations left one out.
    """
    # It tells of temporary folders that it has removed already.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # Older releases phoned home; the variable is inert in those that do not.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[item.expectation for item in expectations]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        # SUMMARY: with COMPLETE one expectation that fails everywhere costs six seconds and megabytes.
        gx.Checkpoint(name=name, validation_definitions=[definition], actions=[], result_format="SUMMARY")
    )
    outcome = next(iter(checkpoint.run(batch_parameters={"dataframe": table}).run_results.values()))
    results = outcome.to_json_dict()["results"]
    if len(results) != len(expectations):
        raise RuntimeError(f"Great Expectations gave {len(results)} results for {len(expectations)} expectations")
    by_id = {result["expectation_config"]["id"]: result for result in results}
    return [_check(item, by_id[added.id]) for item, added in zip(expectations, suite.expectations, strict=True)]


def _check(item: NamedExpectation, result: dict[str, Any]) -> Check:
    details = result["result"]
    raised = next((info["exception_message"] for info in _exceptions(result) if info.get("raised_exception")), None)
    # Of a set of distinct values Great Expectations counts values, not rows.
    rows = None if "partial_missing_list" in details else details.get("unexpected_count")
    count = details.get("observed_value") if item.counts_images else rows
    return Check(
        name=item.name,
        severity=item.expectation.severity,
        passed=bool(result["success"]),
        observed=f"not checked: {raised}" if raised else _observed(details),
        expected=item.expected,
        num_images=int(count) if count is not None else None,
        examples=tuple(map(int, details.get("partial_unexpected_index_list") or ())),
        advice=item.advice,
    )


def _exceptions(result: dict[str, Any]) -> list[dict[str, Any]]:
    info = result.get("exception_info") or {}
    return [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, dict)]


def _observed(details: dict[str, Any]) -> str:
    """What Great Expectations saw: a value of the whole table, or how many rows broke the rule."""
    value = details.get("observed_value")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is not None:
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    if "partial_missing_list" in details:
        found = {"missing": details.get("partial_missing_list"), "unexpected": details.get("partial_unexpected_list")}
        return "; ".join(f"{word} {', '.join(map(str, values))}" for word, values in found.items() if values) or "all"
    count, total = details.get("unexpected_count"), details.get("element_count")
    if not count or not total:
        return "as expected"
    examples = sorted({str(value) for value in details.get("partial_unexpected_list", [])})[:3]
    return f"{count:,} of {total:,} ({count / total:.2%}), such as {', '.join(examples)}"
