"""What a scoring gives: figures of all its images, and what is kept to compare them with others."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.store import Reference
from tasks.values.validation import DropCheck

Outcome = Literal["scored", "unchanged"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoredModel(_Value):
    """The model that scored.

    Attributes:
        version: As the ledger counts.
        champion: Whether it was champion when the scoring began.
        model_digest: Of its artifact in the store.
        model_sha256: Of its `model.keras`.
    """

    name: str
    version: int = Field(ge=1)
    champion: bool
    model_digest: str
    model_sha256: str


class ScoredImages(_Value):
    """Where the images lie.

    Attributes:
        place: The absolute path.
        kind: folder, archive or parquet.
        digest: SHA-256 over names, sizes and times of change of the files.
    """

    place: str
    kind: str
    digest: str


class Part(_Value):
    """One Parquet file."""

    name: str
    num_rows: int
    sha256: str


class UnreadableImage(_Value):
    """An image without a class."""

    name: str
    reason: str


class Figures(_Value):
    """Figures of all scored images.

    Attributes:
        num_images: Rows of all parts, those without a class included.
        unreadable: The first of them, at most twenty.
        classes: Images by the class that the model takes them for, in the order of the labels.
        mean_confidence: Mean probability of that class, 0 to 1; None where no image could be read.
        confidence_histogram: Images by confidence, in ten bins of equal width from 0 to 1.
    """

    num_images: int = Field(ge=0)
    num_unreadable: int = Field(ge=0)
    unreadable: tuple[UnreadableImage, ...]
    classes: dict[str, int]
    mean_confidence: float | None
    confidence_histogram: tuple[int, ...]


class Scoring(_Value):
    """A scoring whose parts are all written.

    Attributes:
        key: SHA-256 over images, model, code and options: what parts must share.
        output: The folder of the parts.
        num_scored: Images of this run; fewer than all where it went on after parts of an earlier one.
        seconds: From the first of these images to the last part.
        device: That scored, as people call it.
        sample: An artifact with `images.npy` (shape (num_sampled, 32, 32, 3), dtype=uint8), `classes.npy` (shape
            (num_sampled,), dtype=uint8), what the model takes them for, and `names.json`, the list of their names; None
            where no image could be read.
    """

    key: str
    output: str
    images: ScoredImages
    model: ScoredModel
    class_names: tuple[str, ...]
    parts: tuple[Part, ...]
    figures: Figures
    num_scored: int
    seconds: float
    device: str
    cores: int
    sample: Reference | None

    @property
    def images_per_second(self) -> float | None:
        """None where nothing was left to score."""
        return self.num_scored / self.seconds if self.num_scored and self.seconds else None


class Drift(_Value):
    """How the scored images compare with what the model was trained on. It stops nothing.

    Attributes:
        checks: Empty where nothing was compared.
        not_compared: Why, in a sentence.
    """

    checks: tuple[DropCheck, ...] = ()
    not_compared: str = ""

    @property
    def warnings(self) -> tuple[DropCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)


class ScoringSummary(_Value):
    """`score.json`, and an entry of the prediction log: one scoring in figures, for programs.

    Attributes:
        run_id: Prefect's flow run id.
        versions: Of the libraries.
    """

    format: Literal[1] = 1
    outcome: Outcome
    run_id: str
    finished_at: AwareDatetime
    scoring: Scoring
    images_per_second: float | None
    drift: Drift
    versions: dict[str, str]
