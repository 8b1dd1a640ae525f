"""Who is champion, since when and why, and the way back: the command line, which starts without Prefect.

    python -m flows.promotion history
    python -m flows.promotion promote VERSION --reason "..."
    python -m flows.promotion rollback [--to VERSION] --reason "..."
    python -m flows.promotion champion [--at DATE]
    python -m flows.promotion verify

The exit code is 0 where all is well, 1 where something was refused or is damaged, 2 after a wrong option.
"""

import argparse
import getpass
import json
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NoReturn

from rich.console import Console

from flows import promotion_words as words
from tasks import machine, promotion
from tasks.errors import ConfigurationError, PipelineError, RegistryError
from tasks.ledger import MODEL_NAMES, ledger_names, open_ledger
from tasks.promotion import MAX_ACTOR_LENGTH, MAX_REASON_LENGTH
from tasks.succession import champion_at
from tasks.verification import verify

PROGRAM = "python -m flows.promotion"
OFFICIAL = MODEL_NAMES["cifar10"]
USAGE_EXIT_CODE = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as everywhere in the project."""
        self.exit(USAGE_EXIT_CODE, f"{self.prog}: {' '.join(message.split())}; --help lists the options\n")


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=False, file=sys.stdout)
    try:
        with machine.use(machine.from_environment(machine.with_store(os.environ, options.store))):
            return _run(options, _model(options.model, options.command), console)
    except ConfigurationError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE_EXIT_CODE
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _run(options: argparse.Namespace, name: str, console: Console) -> int:
    ledger = open_ledger(name)
    result: Any
    match options.command:
        case "history":
            entries = ledger.entries()
            result, shown = [entry.model_dump(mode="json") for entry in entries], words.history(name, entries)
        case "champion":
            entries = ledger.entries()
            at = options.at or datetime.now(UTC)
            entry = champion_at(entries, at) if options.at else (entries[-1] if entries else None)
            result = entry.model_dump(mode="json") if entry is not None else None
            shown = words.champion(name, entries, entry, at if options.at else None)
        case "verify":
            found = verify(name, ledger)
            result, shown = found.model_dump(mode="json"), words.verification(found)
            _show(console, options.json, result, shown)
            return 1 if found.faults else 0
        case _:
            run_id = f"manual-{uuid.uuid4()}"
            actor = options.actor or _user()
            if options.command == "promote":
                made = promotion.promote(name, options.version, reason=options.reason, actor=actor, run_id=run_id)
            else:
                made = promotion.roll_back(name, options.to, reason=options.reason, actor=actor, run_id=run_id)
            result, shown = made.model_dump(mode="json"), words.manual(made)
    _show(console, options.json, result, shown)
    return 0


def _show(console: Console, as_json: bool, result: Any, shown: Any) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    else:
        with console.capture() as lines:
            console.print(shown)
        # Cells are filled up with blanks, which disturb whoever copies a line.
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in lines.get().splitlines())


def _model(name: str | None, command: str) -> str:
    """The registered model that a command is about.

    Raises:
        ConfigurationError: if it cannot be told, or has no ledger.
        RegistryError: if nothing was promoted yet.
    """
    names = ledger_names()
    if name in names or (name is not None and command == "promote"):
        return name
    if not names:
        raise RegistryError(
            f"Nothing was promoted yet: there is no ledger in {open_ledger('').url.rstrip('/')}. Another store "
            "is named with --store or RETRAINING_STORE, another ledger with RETRAINING_LEDGER; a first champion needs "
            "--model."
        )
    if name is not None:
        raise ConfigurationError(f"--model is {name!r}, which has no ledger; expected {' or '.join(names)}.")
    if len(names) > 1 and OFFICIAL not in names:
        raise ConfigurationError(f"Several models have a ledger: name one with --model, {' or '.join(names)}.")
    return OFFICIAL if OFFICIAL in names else names[0]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise ConfigurationError("The system knows no name of its user; give one with --actor.") from error


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument(
        "--store",
        type=_address,
        help="Folder of the store, or s3://bucket/prefix; else RETRAINING_STORE, else ./store.",
    )
    common.add_argument(
        "--model", type=_text(200), help=f"Registered model; else the one that has a ledger, else {OFFICIAL}."
    )
    common.add_argument("--json", action="store_true", help="Write JSON for a program.")
    by_person = _Parser(add_help=False)
    by_person.add_argument("--reason", type=_text(MAX_REASON_LENGTH), required=True, help="Why; kept in the ledger.")
    by_person.add_argument("--actor", type=_text(MAX_ACTOR_LENGTH), help="Who; else the user of the system.")

    parser = _Parser(prog=PROGRAM, description="Who is champion, since when and why, and the way back.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser, metavar="COMMAND")
    commands.add_parser("history", parents=[common], help="List all promotions.")
    promote = commands.add_parser("promote", parents=[common, by_person], help="Make a version champion by force.")
    promote.add_argument("version", type=_version, metavar="VERSION", help="A version in MLflow.")
    rollback = commands.add_parser("rollback", parents=[common, by_person], help="Take the champion back.")
    rollback.add_argument(
        "--to", type=_version, metavar="VERSION", help="An earlier champion; else the one that the champion replaced."
    )
    champion = commands.add_parser("champion", parents=[common], help="Say who is champion, since when and why.")
    champion.add_argument(
        "--at", type=_moment, metavar="DATE", help="Who was: at the end of a date, or at a moment in ISO 8601; UTC."
    )
    commands.add_parser("verify", parents=[common], help="Check ledger and models; repair MLflow's aliases.")
    return parser


def _text(max_length: int) -> Any:
    def text(value: str) -> str:
        if not value.strip() or len(value) > max_length:
            raise argparse.ArgumentTypeError(f"expected 1 to {max_length} characters; got {len(value.strip())}")
        return value.strip()

    return text


def _address(value: str) -> str:
    if not value.strip():
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return value


def _version(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected a version, a number from 1 on; got {value!r}")
    return int(value)


def _moment(value: str) -> datetime:
    try:
        if len(value) == len("2026-11-21"):
            return datetime.combine(date.fromisoformat(value), time.max, UTC)
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-11-21 or a moment such as 2026-11-21T18:30; got {value!r}"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
