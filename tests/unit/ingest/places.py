"""Where tests leave drops: a folder, or a bucket of a real S3 server on this machine, seen in the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import boto3

from tests.drops import Arrays, drop_records

BUCKET = "team"
PREFIX = "incoming/drops"


class Place(Protocol):
    """A drops folder as people see it; names of files are relative to it."""

    address: str

    def put(self, file: str, data: bytes) -> None: ...

    def files(self) -> dict[str, bytes]: ...

    def remove(self, file: str) -> None: ...


class FolderPlace:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.address = str(folder)

    def put(self, file: str, data: bytes) -> None:
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_bytes(data)

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}

    def remove(self, file: str) -> None:
        (self.folder / file).unlink()


class BucketPlace:
    """An empty bucket; the environment must name server and credentials."""

    def __init__(self, endpoint: str) -> None:
        self.address = f"s3://{BUCKET}/{PREFIX}"
        self.client: Any = boto3.client("s3", endpoint_url=endpoint)
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, file: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{file}", Body=data)

    def names(self) -> list[str]:
        """Of all files, whatever becomes of them meanwhile."""
        return [key.removeprefix(f"{PREFIX}/") for key in self._keys()]

    def _keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def files(self) -> dict[str, bytes]:
        return {
            key.removeprefix(f"{PREFIX}/"): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in self._keys()
        }

    def remove(self, file: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{file}")

    def destroy(self) -> None:
        for key in self._keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)
        self.client.delete_bucket(Bucket=BUCKET)


def leave(
    place: Place, drawer: Path, name: str, arrays: Arrays, make: Callable[[Path, Arrays], Path] = drop_records
) -> None:
    """Make a drop elsewhere and copy it there, the marker last."""
    folder = drawer / name.replace("/", " ")
    make(folder, arrays)
    for path in sorted(folder.rglob("*"), key=lambda path: path.name == "_SUCCESS"):
        if path.is_file():
            place.put(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
