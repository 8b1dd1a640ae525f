"""What the drops of a dataset are compared with."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.values.dataset import RawDataset


class Baselines(BaseModel):
    """The data that drops are to be like: what the first and the last champion were trained on.

    The first as well, so that many small steps, each like the one before, do not lead far away. A drop keeps the
    baselines that it was first judged by; so a dataset without new drops is judged as before.

    Attributes:
        of_drop: By a drop's digest the digests of the datasets that it is compared with, the first champion's before
            the last one's; a drop that is not named is compared with the base of its own dataset.
        datasets: These datasets by their digest. Not serialised: the digests say all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    of_drop: dict[str, tuple[str, ...]] = {}
    datasets: dict[str, RawDataset] = Field({}, exclude=True)
