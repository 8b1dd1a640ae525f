"""What people write to say where something lies: a path, or a URL."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.errors import ConfigurationError


def scheme_of(address: str) -> str | None:
    """The scheme of a URL in small letters; None of a path."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return scheme[1].lower() if scheme is not None else None


def local_path(address: str, what: str, expected: str) -> Path:
    """The absolute path that a path or a file:// URL means, whether anything lies there or not.

    Args:
        address: As a person wrote it.
        what: Of which option it is, for errors: "The source".
        expected: What else may be written there.

    Raises:
        ConfigurationError: if it is a URL of another kind, or nothing at all.
    """
    if not address.strip() or scheme_of(address) not in (None, "file"):
        raise ConfigurationError(f"{what} is {address!r}; expected {expected}.")
    try:
        if scheme_of(address) is None:
            return Path(address).expanduser().absolute()
        url = urlsplit(address)
        if url.netloc not in ("", "localhost"):
            raise ConfigurationError(
                f"{what} {address!r} names the host {url.netloc!r}; a file:// URL has three slashes: file:///data/x."
            )
        return Path(unquote(url.path)).absolute()
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"{what} {address!r} is no path: {error}. Expected {expected}.") from error
