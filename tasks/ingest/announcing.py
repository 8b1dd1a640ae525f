"""Which drops have arrived that nobody was told of yet.

A drop is told of once, and once more if its files change: what was told is kept in the store, for all machines that
share it, so that a drop which no run can take does not start a run every few minutes. Nothing is read but lists of
names and sizes, and no turn is taken: a run that is at work on the place is not held up.
"""

import hashlib
import json
import logging
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks import store
from tasks.ingest.drop_address import place_at
from tasks.ingest.drop_place import DropPlace, DropUnreadableError, is_plain
from tasks.ingest.drops import incomplete, receipt_of
from tasks.shared_folder import SharedFolder

logger = logging.getLogger(__name__)


class Arrival(BaseModel):
    """A drop that is complete and that no run has taken.

    Attributes:
        name: Of its folder.
        place: Where it lies, as people and programs find it.
        listing: Of its files; see `Listing.sha256`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    place: str
    listing: str


class _Told(BaseModel):
    """What was told of one place: each drop's listing, by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    drops: dict[str, str] = {}


class Announcements:
    """What was told of the drops of one place.

    Args:
        address: As `ingest.drops`.

    Raises:
        ConfigurationError: if it is no place for drops.
    """

    def __init__(self, address: str) -> None:
        self._place = place_at(address)
        self._name = f"{hashlib.sha256(self._place.address.encode()).hexdigest()[:16]}.json"

    def due(self, min_age_minutes: float | None) -> list[Arrival]:
        """The arrivals to tell of, by name. What is no longer there is forgotten: if it comes again it is told again.

        Args:
            min_age_minutes: As `ingest.drop_min_age_minutes`.

        Raises:
            ConfigurationError: if the place cannot be read.
            TransientError: if it cannot be reached, or the store.
            StoreError: if the store cannot be written.
        """
        found: list[Arrival] = []
        unreadable: set[str] = set()
        for name in filter(is_plain, self._place.entries()):
            try:
                arrival = _arrived(self._place, name, min_age_minutes)
            except DropUnreadableError as error:
                logger.info("The drop %s waits: %s.", name, error)
                unreadable.add(name)
                continue
            if arrival is not None:
                found.append(arrival)
        told = self._told()
        # One that cannot be read at this moment is not told of again for that.
        there = unreadable | {arrival.name for arrival in found}
        known = {name: listing for name, listing in told.items() if name in there}
        if known != told:
            self._write(known)
        return [arrival for arrival in found if known.get(arrival.name) != arrival.listing]

    def tell_of(self, arrivals: Iterable[Arrival]) -> None:
        """Remember that they were told of.

        Raises:
            StoreError: if the store cannot be written.
            TransientError: if it cannot be reached.
        """
        self._write(self._told() | {arrival.name: arrival.listing for arrival in arrivals})

    def _told(self) -> dict[str, str]:
        folder = _folder()
        found = folder.read([self._name]).get(self._name)
        if found is None:
            return {}
        try:
            return _Told.model_validate_json(found).drops
        except ValidationError:
            logger.warning("%s cannot be read; all drops that wait are told of again.", folder.place(self._name))
            return {}

    def _write(self, drops: dict[str, str]) -> None:
        _folder().write(self._name, json.dumps({"place": self._place.address, "drops": drops}, indent=1) + "\n")


def _folder() -> SharedFolder:
    return store.current().shared("announced")


def _arrived(place: DropPlace, name: str, min_age_minutes: float | None) -> Arrival | None:
    """None where it was taken, or a run would let it wait.

    Raises:
        DropUnreadableError: if that cannot be told at this moment.
    """
    if receipt_of(place, name) is not None:
        return None
    listing = place.listing(name)
    if incomplete(listing, min_age_minutes) is not None:
        return None
    return Arrival(name=name, place=place.place(name), listing=listing.sha256)
