"""Promotions as a person reads them in a terminal, also one of 80 columns."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tasks.ledger import LedgerEntry
from tasks.promotion import Manual
from tasks.verification import Verification

COLUMNS = (("Entry", 5), ("When, UTC", 19), ("Version", 7), ("Replaces", 8), ("Accuracy", 8), ("Basis", 8))
"""Headings and widths; together they fit into 80 columns. Numbers stand at the right."""

INDENT = 7
"""Of what stands below an entry: the width of its number, and a gap."""


def history(name: str, entries: Sequence[LedgerEntry]) -> RenderableType:
    """All entries, the oldest first; below each, in the whole width, who promoted and why."""
    rows: list[RenderableType] = [Text(f"Promotions of {name}\n")]
    rows += [_row("bold", *(heading for heading, _ in COLUMNS)), _indented(Text("Actor: reason", "bold"))]
    for entry in entries:
        figures = (
            str(entry.number),
            f"{entry.promoted_at:%Y-%m-%d %H:%M:%S}",
            str(entry.version),
            "-" if entry.replaces_version is None else str(entry.replaces_version),
            f"{100 * entry.accuracy:.2f} %",
            _basis(entry),
        )
        rows += [_row("", *figures), _indented(Text.assemble((entry.actor, "bold"), ": ", entry.reason))]
    return Group(*rows)


def _row(style: str, *cells: str) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    for heading, width in COLUMNS:
        numeric = heading in ("Entry", "Version", "Replaces", "Accuracy")
        row.add_column(width=width, justify="right" if numeric else "left", no_wrap=True, style=style)
    row.add_row(*cells)
    return row


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, INDENT))


def champion(
    name: str, entries: Sequence[LedgerEntry], entry: LedgerEntry | None, at: datetime | None
) -> RenderableType:
    """Who is champion, or was at a moment.

    Args:
        name: The registered model's.
        entries: The ledger's.
        entry: That says so; None where nobody was yet.
        at: The moment; None for now.
    """
    if entry is None:
        first = f"; the first was promoted at {_moment(entries[0])}" if entries else ""
        return Text(
            f"{name} had no champion at {at:%Y-%m-%d %H:%M:%S} UTC{first}." if at else f"{name} has no champion."
        )
    lines = [
        ("Champion", f"{name} version {entry.version}" + (f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "")),
        ("Since", f"{_moment(entry)} (entry {entry.number}, {_basis(entry)}{_replaced(entry)})"),
        ("Accuracy", f"{100 * entry.accuracy:.2f} % on its own run's test images"),
        ("Actor", entry.actor),
        ("Reason", entry.reason),
        ("Model", f"SHA-256 {entry.model_sha256[:12]}, artifact {entry.model_digest[:12]}"),
    ]
    if at is not None and entry.number < len(entries):
        following = entries[entry.number]
        lines.insert(2, ("Until", f"{_moment(following)} (entry {following.number}, version {following.version})"))
    return _lines(lines)


def manual(made: Manual) -> RenderableType:
    """What a person's promotion led to."""
    entry = made.entry
    again = " again" if entry.basis == "rollback" else ""
    lines = [
        ("Champion", f"{entry.model_name} version {entry.version}{again} (entry {entry.number}{_replaced(entry)})"),
        ("Actor", entry.actor),
        ("Reason", entry.reason),
    ]
    if made.problem is not None:
        lines.append(("MLflow", f"The promotion stands; MLflow's aliases follow with the next run. {made.problem}"))
    else:
        lines.append(("MLflow", "; ".join(made.mirrored) or "has these aliases already"))
    return _lines(lines)


def verification(found: Verification) -> RenderableType:
    """What was looked at, and what is wrong."""
    lines: list[tuple[str, str]] = []
    if found.entries is not None:
        sealed = "; the last one had no seal, and has one now" if found.sealed else ""
        lines += [
            ("Ledger", f"{_count(found.entries, 'entry', 'entries')} in {found.ledger}, none altered or lost{sealed}"),
            ("Models", f"{found.num_models} held against their digests"),
            ("Aliases", f"champion {found.champion}, previous {found.previous or 'none'}"),
            *(("Repaired", change) for change in found.repaired),
        ]
    lines += [("Fault", f"{fault.place} {fault.problem}") for fault in found.faults]
    lines.append(("Result", _count(len(found.faults), "fault", "faults") if found.faults else "no fault"))
    return _lines(lines)


def _lines(lines: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=len("Champion"))
    table.add_column(overflow="fold")
    for heading, text in lines:
        table.add_row(heading, escape(text), style="bold red" if heading == "Fault" else "")
    return table


def _basis(entry: LedgerEntry) -> str:
    return entry.basis or "improve"


def _moment(entry: LedgerEntry) -> str:
    return f"{entry.promoted_at:%Y-%m-%d %H:%M:%S} UTC"


def _replaced(entry: LedgerEntry) -> str:
    return "" if entry.replaces_version is None else f", in place of version {entry.replaces_version}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
