"""The section `ingest`: where images come from."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.addresses import Address, WebAddress

OFFICIAL_URLS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
)
"""The official host, its new name, then mirrors. The digest decides, so any host may stand here."""


class IngestConfig(BaseModel):
    """How images are fetched, and how practice images are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: tuple[WebAddress, ...] = Field(
        OFFICIAL_URLS,
        min_length=1,
        description="http or https URLs of the official binary archive, tried in this order; 1 or more.",
    )
    allow_unofficial: bool = Field(
        False, description="Accept a local archive or folder whose images are not the official ones."
    )
    idle_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Give up on a host that sends nothing for so many seconds; above 0, at most 600.",
    )
    synthetic_images: int = Field(
        12_000, ge=120, le=600_000, description="Practice images, a sixth of them for testing; 120 to 600000."
    )
    synthetic_seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the practice images; 0 to 4294967295.")
    drops: Address | None = Field(
        None,
        min_length=1,
        description="Folder where labelled images are dropped, a folder a drop: a path, a file:// URL or a URL of "
        "object storage such as s3://bucket/prefix; docs/drops.md.",
    )
    corrections: Address | None = Field(
        None,
        min_length=1,
        description="CSV of labels that were put right, such as a report's label_issues.csv with its last column "
        "filled in; for training images alone.",
    )
    extra_test: Address | None = Field(
        None,
        min_length=1,
        description="Folder with labelled images for testing only, in one of a drop's formats: a path or file:// URL; "
        "docs/drops.md.",
    )
    drop_min_age_minutes: float | None = Field(
        None,
        gt=0,
        le=10_080,
        description="Take a drop without _SUCCESS when nothing in it has changed for so many minutes; above 0, at most "
        "10080.",
    )
