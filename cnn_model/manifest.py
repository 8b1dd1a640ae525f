"""What a bundle says of itself: `manifest.json`, as frozen values. Knows nothing of Keras and touches no file."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MANIFEST = "manifest.json"
MODEL = "model.keras"
MODEL_CARD = "MODEL_CARD.md"
GOLDEN_IMAGES = "golden/images.npy"
GOLDEN_PROBABILITIES = "golden/probabilities.npy"
ONNX = "model.onnx"
SAVED_MODEL = "saved_model"

REQUIRED = (MODEL, MODEL_CARD, GOLDEN_IMAGES, GOLDEN_PROBABILITIES, ONNX, f"{SAVED_MODEL}/saved_model.pb")
"""What every bundle has. Beside it stands only what else belongs to the SavedModel."""

MAX_FILE_BYTES = 2**30


def _known(name: str) -> str:
    parts = name.split("/")
    plain = name.isascii() and name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(parts)
    if not plain or (name not in REQUIRED and parts[0] != SAVED_MODEL):
        raise ValueError(
            f"{name!r} is no file of a bundle; expected {', '.join(REQUIRED)} and what lies in {SAVED_MODEL}/"
        )
    return name


FileName = Annotated[str, AfterValidator(_known)]
"""Relative to the bundle, with slashes."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Value):
    """One file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Tensor(_Value):
    """What goes in or comes out.

    Attributes:
        shape: None for the number of images, which is free.
        range: The lowest and highest value.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    range: tuple[float, float]


class Signature(_Value):
    """What the model takes and gives, in all three formats."""

    input: Tensor = Tensor(name="images", dtype="uint8", shape=(None, 32, 32, 3), range=(0, 255))
    output: Tensor = Tensor(name="probabilities", dtype="float32", shape=(None, 10), range=(0, 1))


class ExportCheck(_Value):
    """An export beside the model that it was made from, on the golden images.

    Attributes:
        tolerance: Of a probability; what differs by more is no export of the model.
        largest_difference: That was found, on the CPU of the machine that made it.
    """

    tolerance: float
    largest_difference: float


class ExportResult(_Value):
    """The exports of one model.

    Attributes:
        onnx_opset: Version of ONNX's operators.
        versions: Of the libraries that made and checked them, by name.
    """

    saved_model: ExportCheck
    onnx: ExportCheck
    onnx_opset: int
    versions: dict[str, str]


class Description(_Value):
    """A bundle without its files.

    Attributes:
        practice: Whether the model was trained on practice images: its figures say nothing about photographs.
        ids: Digests and names of data, code and runs that the model came from.
        tolerance: Of a probability, for the golden images on a host that loads the model.
        versions: Of Python and the libraries that trained the model, by name.
    """

    model_name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    model_version: int = Field(ge=1)
    practice: bool
    class_names: tuple[str, ...] = Field(min_length=10, max_length=10)
    signature: Signature = Signature()
    ids: dict[str, str]
    tolerance: float = Field(gt=0, lt=1)
    exports: ExportResult
    versions: dict[str, str]

    @property
    def title(self) -> str:
        """As people call the model."""
        return f"{self.model_name} version {self.model_version}"


class Manifest(Description):
    """The whole of `manifest.json`.

    Attributes:
        format: Raised when a field changes its meaning or goes.
        files: Every file of the bundle but this one.
    """

    format: Literal[1] = 1
    files: dict[FileName, FileEntry]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in REQUIRED if name not in self.files]
        if missing:
            raise ValueError(f"{', '.join(missing)} is not among the files; expected all of {', '.join(REQUIRED)}")
        return self
