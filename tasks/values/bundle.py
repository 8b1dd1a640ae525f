"""What export and bundle give."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.manifest import ExportResult
from tasks.store import Reference


class Exported(BaseModel):
    """A model's exports, checked.

    The artifact holds `saved_model/`, `model.onnx` and `probabilities.npy`: shape (num_golden_images, 10),
    dtype=float32, what the model itself gives for the golden images.

    Attributes:
        golden: The artifact with `images.npy`, the golden images: shape (num_golden_images, 32, 32, 3), dtype=uint8.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    golden: Reference
    result: ExportResult


class WrittenBundle(BaseModel):
    """The bundle of a registered model, for whoever serves it.

    Attributes:
        folder: Its path.
        archive: Path of the same as `.tar.gz`.
        digest: SHA-256 of its manifest, which names every file by its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    archive: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
