"""What people write to say where something lies: a path, or a URL."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from tasks.errors import ConfigurationError

CREDENTIALS = (
    r"://[^/?#\s]*@|"
    # A secret key of AWS may hold slashes; a port before a path with an @ in it is none.
    r"://[^/?#\s:]*:(?![0-9]*/)[^?#\s]*@|"
    r"[?&][^=&#\s]*([Ss]ig|SIG|[Tt]oken|TOKEN|[Kk]ey|KEY|[Ss]ecret|SECRET|[Pp]assw|PASSW|[Pp]wd|PWD|[Ss]as|SAS|"
    r"[Cc]redential|[Aa]uth)[^=&#\s]*="
)
"""What a URL looks like that lets in whoever reads it: a user before the host, or a signed query. A pattern that means
the same in Python and in JSON schema."""

WITHOUT_CREDENTIALS = (
    "carries a user, a password or a signature in its URL, which would be kept with the run. Write the URL without; "
    "credentials come from the worker's environment"
)


def carries_credentials(address: str) -> bool:
    """Whether a URL is one that must not be kept or shown."""
    return re.search(CREDENTIALS, address) is not None


def require_no_credentials(address: str, what: str) -> None:
    """See that an address may be kept and shown.

    Args:
        address: As a person wrote it. It is in no error message.
        what: Of which option it is: "The source".

    Raises:
        ConfigurationError: if it may not.
    """
    if carries_credentials(address):
        raise ConfigurationError(f"{what} {WITHOUT_CREDENTIALS}.")


def _without_credentials(address: str) -> str:
    if carries_credentials(address):
        raise ValueError(f"it {WITHOUT_CREDENTIALS}")
    return address


_CHECKED = (
    AfterValidator(_without_credentials),
    Field(min_length=1, json_schema_extra={"not": {"pattern": CREDENTIALS}}),
)

Address = Annotated[str, *_CHECKED]
"""A path or a URL as a parameter: Prefect's server refuses one with credentials before a run exists that keeps it."""

WebAddress = Annotated[str, Field(pattern="^https?://"), *_CHECKED]
"""A URL of a web server, likewise."""


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
        ConfigurationError: if it is a URL of another kind, one with credentials, or nothing at all.
    """
    require_no_credentials(address, what)
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
