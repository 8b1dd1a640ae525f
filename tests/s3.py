"""A real S3 server on this machine, and the environment that leads there."""

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret"}
ENVIRONMENT = {
    **CREDENTIALS,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_MAX_ATTEMPTS": "1",
}
"""What the driver reads, and what keeps it from looking elsewhere and from trying for long."""


def started() -> "tuple[ThreadedMotoServer, str]":
    """A server on a free port of the loopback interface, and its URL."""
    from moto.server import ThreadedMotoServer  # takes a second, and most tests need none

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return server, f"http://{host}:{port}"


def age(bucket: str, days: float) -> None:
    """Make all objects of a bucket older, in the order that they have; no client can do that. Of a server of this
    process.
    """
    from moto.s3.models import s3_backends

    for account in s3_backends.values():
        for region in account.values():
            if bucket in region.buckets:
                for _, key in region.buckets[bucket].keys.items():
                    key.last_modified -= timedelta(days=days)
