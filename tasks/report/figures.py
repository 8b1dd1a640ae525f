"""Figures as inline SVG that follows the page: light, dark and print.

`cnn_model.pictures` draws the curves of training, `charts` what else the report has. Colours are placeholders that
become CSS variables of the page, fonts are the page's, identifiers bear the figure's name, and nothing depends on the
clock, so equal figures give equal text. Tables with bars and shades in their cells (confusion matrix, differences,
probabilities, durations) are HTML: they are their own text alternative.
"""

import io
import re
from dataclasses import astuple
from html import escape

import matplotlib
from matplotlib.figure import Figure

from cnn_model.curves import Metric, Palette, best_epoch, meeting
from cnn_model.pictures import plot_metric
from cnn_model.results import Scores, TrainingResult

PLACEHOLDERS = Palette(
    paper="#010101",
    ink="#020202",
    muted="#030303",
    rule="#040404",
    train="#050505",
    validation="#060606",
    right="#070707",
    wrong="#080808",
)
"""Colours that no figure has by chance."""

VARIABLES = Palette(
    paper="var(--paper)",
    ink="var(--ink)",
    muted="var(--muted)",
    rule="var(--rule)",
    train="var(--first)",
    validation="var(--second)",
    right="var(--good)",
    wrong="var(--bad)",
)
"""The page's variables that take their place."""


def curves(training: TrainingResult, metric: Metric) -> str:
    """A figure of train and validation over the epochs, as an `<svg>`."""
    figure = plot_metric(training, metric, PLACEHOLDERS, titled=False)
    return inline_svg(figure, metric, f"{metric.capitalize()} over the epochs", _in_words(training, metric))


def _in_words(training: TrainingResult, metric: Metric) -> str:
    """The figure for those who do not see it; the table below the figures has every value."""
    first, last = training.history[0], training.history[-1]
    ends = [f"train {_from_to(first.train, last.train, metric)}"]
    sentences = [f"The model has the weights of epoch {training.best_epoch}."]
    if first.validation is not None and last.validation is not None:
        ends.append(f"validation {_from_to(first.validation, last.validation, metric)}")
        best, met = best_epoch(training.history, metric), meeting(training.history, metric)
        if best is not None:
            sentences.append(f"Validation is best in epoch {best}.")
        sentences.append(f"The curves meet in epoch {met.epoch}." if met else "The curves do not meet.")
    return " ".join([f"Over {last.epoch} epochs: {', '.join(ends)}.", *sentences])


def _from_to(first: Scores, last: Scores, metric: Metric) -> str:
    return f"from {getattr(first, metric):.3f} to {getattr(last, metric):.3f}"


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """A figure as a part of the page.

    Args:
        figure: Drawn with the colours of `PLACEHOLDERS`.
        name: No other figure of the page has it.
        title: What it shows.
        description: What there is to see, for those who do not see it; plain text.
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=metadata)
    return _inline(buffer.getvalue(), name, escape(title), escape(description))


def _inline(document: str, name: str, title: str, description: str) -> str:
    """Make a matplotlib SVG document a part of a page."""
    svg = document[document.index("<svg") :].strip()
    # A <style> within the figure would be one of the whole page; the page has its own for `.chart`.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'\bxlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", svg)
    for placeholder, variable in zip(astuple(PLACEHOLDERS), astuple(VARIABLES), strict=True):
        svg = svg.replace(placeholder, variable)
    view_box = re.search(r'viewBox="[^"]*"', svg)
    if view_box is None:
        raise ValueError("matplotlib gave an SVG without viewBox; expected one. Check matplotlib's version.")
    head = (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-desc" {view_box[0]}>\n'
        f'<title id="{name}-title">{title}</title>\n<desc id="{name}-desc">{description}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
