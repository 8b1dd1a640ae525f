"""What kind of place an address of drops names. No other module tells a folder from a bucket."""

from tasks.addresses import require_no_credentials, scheme_of
from tasks.errors import ConfigurationError
from tasks.ingest.drop_bucket import DropBucket
from tasks.ingest.drop_folder import DropFolder
from tasks.ingest.drop_place import DropPlace
from tasks.objects import DRIVERS


def place_at(address: str) -> DropPlace:
    """The place that an address names. Of a URL nothing is asked over the network yet.

    Args:
        address: A path, a file:// URL, or a URL of object storage, such as s3://bucket/prefix.

    Raises:
        ConfigurationError: if it is no local folder, another kind of URL, one with credentials or without a bucket, or
            one whose driver is not installed.
    """
    require_no_credentials(address, "--ingest.drops")
    scheme = scheme_of(address)
    if scheme in (None, "file"):
        return DropFolder(address)
    if scheme in DRIVERS:
        return DropBucket(address)
    raise ConfigurationError(
        f"--ingest.drops is {address!r}; expected a path or a file:// URL of a local folder, or a URL of object "
        f"storage: {', '.join(f'{name}://' for name in DRIVERS)}."
    )
