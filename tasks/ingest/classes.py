"""Classes as people write them."""

from collections.abc import Sequence


def find(called: str, class_names: Sequence[str]) -> int | None:
    """The label of a class by its name, however it is written, or by its number; None where it is no class."""
    wanted = _plain(called)
    names = [_plain(name) for name in class_names]
    if wanted in names:
        return names.index(wanted)
    return int(wanted) if wanted in map(str, range(len(names))) else None


def named(class_names: Sequence[str]) -> str:
    """What can be written, for a message."""
    return f"{', '.join(class_names)}, or 0 to {len(class_names) - 1}"


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")
