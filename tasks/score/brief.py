"""A scoring in short, for the dashboard and for the terminal."""

from tasks.values.scoring import ScoringSummary


def sentence(summary: ScoringSummary) -> str:
    """How many images, by which model, how fast."""
    scoring, figures = summary.scoring, summary.scoring.figures
    unreadable = f", {figures.num_unreadable:,} of them unreadable" if figures.num_unreadable else ""
    model = f"{scoring.model.name} version {scoring.model.version}"
    return f"{figures.num_images:,} images{unreadable}, by {model}{pace(summary)}."


def pace(summary: ScoringSummary) -> str:
    """Such as ", 712 images a second on CPU with 2 cores"; empty where nothing was left to score."""
    if summary.images_per_second is None:
        return ""
    scoring = summary.scoring
    cores = f" with {scoring.cores} cores" if scoring.device == "CPU" else ""
    return f", {summary.images_per_second:,.0f} images a second on {scoring.device}{cores}"


def markdown(summary: ScoringSummary) -> str:
    """The page on the dashboard."""
    scoring, figures = summary.scoring, summary.scoring.figures
    num_readable = figures.num_images - figures.num_unreadable
    lines = [f"{sentence(summary)}", "", f"Images: `{scoring.images.place}`", "", f"Output: `{scoring.output}`", ""]
    if figures.mean_confidence is not None:
        lines += [f"Mean confidence {100 * figures.mean_confidence:.1f} %.", ""]
    lines += ["| class | images | share |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {count:,} | {100 * count / max(num_readable, 1):.1f} % |"
        for name, count in figures.classes.items()
    ]
    lines += ["", drift(summary), ""]
    lines += [
        f"- {check.name}: observed {check.observed}, expected {check.expected}. {check.advice}"
        for check in summary.drift.warnings
    ]
    if figures.unreadable:
        lines += ["", "| unreadable | reason |", "|---|---|"]
        lines += [f"| {_cell(image.name)} | {_cell(image.reason)} |" for image in figures.unreadable]
    return "\n".join(lines) + "\n"


def drift(summary: ScoringSummary) -> str:
    """How the images differ from those that the model was trained on, in a line."""
    drift = summary.drift
    if drift.not_compared:
        return f"Not compared with what the model was trained on: {drift.not_compared}"
    if not drift.warnings:
        return "The images are like those that the model was trained on."
    named = ", ".join(check.name for check in drift.warnings[:3])
    more = " and more" if len(drift.warnings) > 3 else ""
    return f"{len(drift.warnings)} of {len(drift.checks)} checks warn: {named}{more}."


def _cell(text: str) -> str:
    """Text of anyone within a table."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "\\|").split()) + "`"
