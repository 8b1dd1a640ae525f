"""Ledgers that tests fill, and places for them: a folder, and a bucket of a real S3 server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from tasks.ledger import LedgerEntry

BUCKET = "ledgers"


def entry(version: int, replaces: int | None, **changes: Any) -> LedgerEntry:
    """A promotion of a practice model."""
    values: dict[str, Any] = {
        "promoted_at": datetime(2026, 1, 1, tzinfo=UTC),
        "run_id": "run",
        "model_name": "practice-cnn",
        "replaces_version": replaces,
        "version": version,
        "model_digest": "a" * 64,
        "model_sha256": "b" * 64,
        "accuracy": 0.8,
        "test_digest": "c" * 64,
        "actor": "a test",
        "reason": "because",
    }
    return LedgerEntry.model_validate({**values, **changes})


class DiskFiles:
    """Files of a folder, as somebody with an editor reaches them."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder

    def read(self, file: str) -> bytes:
        return (self._folder / file).read_bytes()

    def write(self, file: str, content: bytes) -> None:
        (self._folder / file).write_bytes(content)

    def delete(self, file: str) -> None:
        (self._folder / file).unlink()

    def files(self) -> list[str]:
        return sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())


class BucketFiles:
    """Objects of a bucket, as somebody with a client reaches them; the environment must name server and credentials."""

    def __init__(self, endpoint: str) -> None:
        self.address = f"s3://{BUCKET}/team/promotions"
        self._client: Any = boto3.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=BUCKET)

    def read(self, file: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=f"team/promotions/{file}")["Body"].read()
        return content

    def write(self, file: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=f"team/promotions/{file}", Body=content)

    def delete(self, file: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=f"team/promotions/{file}")

    def files(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket=BUCKET, Prefix="team/promotions/").get("Contents", [])
        return sorted(item["Key"].removeprefix("team/promotions/") for item in found)

    def destroy(self) -> None:
        for file in self.files():
            self.delete(file)
        self._client.delete_bucket(Bucket=BUCKET)
