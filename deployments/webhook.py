"""Where notifications go: a webhook whose URL is a secret, since whoever has it can write there."""

from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from pydantic import SecretStr

from deployments.errors import DeployError

URL = "RETRAINING_NOTIFY_URL"
NAME = "retraining-notify"


def url(environ: Mapping[str, str]) -> SecretStr | None:
    """The webhook's URL, from `RETRAINING_NOTIFY_URL`; None where it is not set.

    Raises:
        DeployError: if it is no URL of HTTP. The message does not show it.
    """
    given = environ.get(URL)
    if not given:
        return None
    if urlsplit(given).scheme not in ("http", "https") or not urlsplit(given).hostname:
        raise DeployError(f"{URL} is no URL; expected one that begins with https:// or http://", exit_code=2)
    return SecretStr(given)


def block(client: SyncPrefectClient, given: SecretStr | None) -> UUID | None:
    """Put the URL into Prefect's database, encrypted; without one, what an earlier deployment put there stays.

    Args:
        client: Of the server.
        given: The URL.

    Returns:
        The block's id; None where there never was a URL.
    """
    if given is not None:
        # Slack and most others take JSON only if it is called so.
        headers = SecretDict({"Content-Type": "application/json"})
        return cast(UUID, Webhook(method="POST", url=given, headers=headers).save(NAME, overwrite=True))
    try:
        return client.read_block_document_by_name(NAME, "webhook").id
    except ObjectNotFound:
        return None
