"""What a pruning removed, or would remove, as a person reads it: in a terminal, and on the dashboard."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.retention import Pruning


def sentence(found: Pruning) -> str:
    """What it comes to, in one line."""
    things = "thing" if found.removed == 1 else "things"
    what = f"{found.removed:,} {things}, {_megabytes(found.removed_bytes)} MB"
    if not found.applied:
        return f"Nothing was removed; {what} would go."
    meanwhile = (
        f"; {found.used_meanwhile:,} more stayed, as a run took them up meanwhile" if found.used_meanwhile else ""
    )
    return f"Removed {what}{meanwhile}."


def table(found: Pruning) -> RenderableType:
    """Kinds, then the reasons why something stays."""
    kinds = Table(box=None, pad_edge=False)
    for number, heading in enumerate(_headings(found)):
        kinds.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in _kinds(found):
        kinds.add_row(*row)
    reasons = Table(box=None, pad_edge=False)
    reasons.add_column("Kept because", overflow="fold")
    for heading in ("kept", "MB"):
        reasons.add_column(heading, justify="right", no_wrap=True)
    for row in _reasons(found):
        reasons.add_row(*row)
    return Group(Text(f"Store {found.place}\n", overflow="fold"), kinds, "", reasons, "", Text(sentence(found), "bold"))


def markdown(found: Pruning) -> str:
    """The same for the dashboard."""
    lines = [sentence(found), "", f"| {' | '.join(_headings(found))} |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(row)} |" for row in _kinds(found)]
    lines += ["", "| kept because | kept | MB |", "|---|--:|--:|"]
    lines += [f"| {' | '.join(row)} |" for row in _reasons(found)]
    return "\n".join(lines)


def _headings(found: Pruning) -> tuple[str, ...]:
    return ("Kind", "kept", "MB", "removed" if found.applied else "to go", "MB")


def _kinds(found: Pruning) -> list[tuple[str, ...]]:
    return [
        (
            tally.kind,
            f"{tally.kept:,}",
            _megabytes(tally.kept_bytes),
            f"{tally.removed:,}",
            _megabytes(tally.removed_bytes),
        )
        for tally in found.tallies
        if tally.kept or tally.removed
    ]


def _reasons(found: Pruning) -> list[tuple[str, ...]]:
    return [(reason.reason, f"{reason.kept:,}", _megabytes(reason.kept_bytes)) for reason in found.reasons]


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f}"
