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


def notify_block(client: SyncPrefectClient, environ: Mapping[str, str]) -> UUID | None:
    """Put the webhook's URL into Prefect's database, encrypted; without one, what an earlier deployment put there.

    Args:
        client: Of the server.
        environ: Where `RETRAINING_NOTIFY_URL` is read.

    Returns:
        The block's id; None where there never was a URL.

    Raises:
        DeployError: if it is no URL of HTTP. The message does not show it.
    """
    url = environ.get(URL)
    if url:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise DeployError(f"{URL} is no URL; expected one that begins with https:// or http://", exit_code=2)
        # Slack and most others take JSON only if it is called so.
        headers = SecretDict({"Content-Type": "application/json"})
        block = Webhook(method="POST", url=SecretStr(url), headers=headers)
        return cast(UUID, block.save(NAME, overwrite=True))
    try:
        return client.read_block_document_by_name(NAME, "webhook").id
    except ObjectNotFound:
        return None
