"""The report in short, for the dashboard."""

from socket import gethostname

from cnn_model.results import EvaluationResult
from tasks.addresses import scheme_of
from tasks.report import words
from tasks.report.contents import ReportContents


def markdown(contents: ReportContents, address: str) -> str:
    """The verdict and the figures behind it, in a few lines of Markdown.

    Args:
        contents: The run.
        address: Of the whole report: a path on this machine, or a URL.
    """
    lines = [f"**{contents.sentence}**", ""]
    if contents.training is not None:
        lines += [contents.training_sentence, ""]
    if contents.run.practice:
        lines += ["**Practice images**: these figures say nothing about CIFAR-10.", ""]
    if contents.outcome == "failed":
        lines += [f"- Cause: {contents.stopped_at.error or 'not known'}"]
    if (failed := contents.failed_handoff) is not None:
        lines += [f"- No bundle: {failed.name} failed: {failed.error or 'not known'}"]
    if contents.evaluation is not None:
        accuracy, num_images = contents.evaluation.result.accuracy, contents.evaluation.result.num_images
        digits = words.digits_for(num_images)
        lines += [
            f"- Accuracy: **{words.percent(accuracy.value, digits)}**, "
            f"95 % interval {words.interval(accuracy, digits)}, on {words.number(num_images)} test images"
        ]
        if (unseen := contents.evaluation.without_near_duplicates) is not None and unseen.num_images < num_images:
            lines += [
                f"- Without near-duplicates of train: {words.percent(unseen.accuracy.value, digits)}, "
                f"95 % interval {words.interval(unseen.accuracy, digits)}, on {words.number(unseen.num_images)}"
            ]
        if (extra := contents.evaluation.extra_test) is not None:
            digits = words.digits_for(extra.result.num_images)
            lines += [
                f"- Extra test images: {words.percent(extra.result.accuracy.value, digits)}, "
                f"95 % interval {words.interval(extra.result.accuracy, digits)}, "
                f"on {words.number(extra.result.num_images)}"
            ]
    if contents.robustness is not None:
        lines += [_on_corrupted_images(contents)]
    if contents.registration is not None:
        champion = contents.registration.champion_version
        lines += [
            f"- Model: {contents.registration.model_name}, version {contents.registration.version}",
            f"- Champion: {'none' if champion is None else f'version {champion}'}",
        ]
        if (decision := contents.registration.decision) is not None and decision.comparisons:
            against = decision.comparisons[0]
            lines += [
                f"- Against version {against.version}: {words.points(against.accuracy.difference.value)} points, "
                f"{words.number(against.num_wins)} test images newly right, {words.number(against.num_losses)} newly "
                "wrong"
            ]
    if contents.drops is not None and contents.drops.drops:
        lines += [f"- Drops: {contents.drops.sentence}"]
    if contents.start_choice is not None:
        lines += [f"- Start: {contents.start_choice.sentence}"]
    lines += [
        f"- Recipe: {contents.run.recipe}, seed {contents.run.seed_in_words}",
        _report_line(address),
        "",
    ]
    return "\n".join(lines)


def _report_line(address: str) -> str:
    match scheme_of(address):
        case None:
            return f"- Report, on {gethostname()}: `{address}`"
        case "http" | "https":
            return f"- Report: <{address}>"
        case _:
            return f"- Report: `{address}`"


def _on_corrupted_images(contents: ReportContents) -> str:
    robustness, decision = contents.robustness, contents.registration.decision if contents.registration else None
    assert robustness is not None, "the caller has looked"
    digits, mean = words.digits_for(robustness.num_images), robustness.mean_accuracy
    line = (
        f"- On corrupted images: {words.percent(mean.value, digits)}, 95 % interval {words.interval(mean, digits)}; "
        f"{words.percent(robustness.clean_accuracy, digits)} on the same {words.number(robustness.num_images)} as they "
        "are, one view of each"
    )
    if decision is None or decision.robustness is None:
        return line
    difference = decision.robustness.mean_accuracy.difference
    return (
        f"{line}; against the champion {100 * difference.value:+.{digits}f} points, "
        f"95 % interval [{100 * difference.low:+.{digits}f}, {100 * difference.high:+.{digits}f}]"
    )


def class_table(result: EvaluationResult) -> list[dict[str, str | int]]:
    """One row a class."""
    return [
        {
            "class": metrics.class_name,
            "images": metrics.num_images,
            "precision": words.percent(metrics.precision),
            "recall": words.percent(metrics.recall),
            "F1": words.percent(metrics.f1),
        }
        for metrics in result.per_class
    ]
