"""Remembers in the store that the official dataset is there, so that nothing is downloaded twice.

Prefect's cache alone does not do that: an edit of this room's code, or a local archive instead of the URL, is another
cache key for the same images.
"""

import json
import logging

from pydantic import ValidationError

from tasks import store
from tasks.values.dataset import RawDataset

logger = logging.getLogger(__name__)

DATASETS, POINTER = "datasets", "cifar10.json"

FORMAT = 1
"""Raise it when the same archive gives another artifact than before; a test notices."""


def remember(dataset: RawDataset) -> None:
    """Leave a pointer to the official dataset."""
    content = {"format": FORMAT, "dataset": dataset.model_dump(mode="json")}
    store.current().shared(DATASETS).write(POINTER, json.dumps(content))


def recall() -> RawDataset | None:
    """The official dataset, if the store has it and it still verifies."""
    datasets = store.current().shared(DATASETS)
    text = datasets.read([POINTER]).get(POINTER)
    if text is None:
        return None
    try:
        pointer = json.loads(text)
        if pointer["format"] != FORMAT:
            return None
        return RawDataset.model_validate(pointer["dataset"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        # ValidationError is a ValueError; a missing artifact has said so itself.
        logger.info("The pointer %s is not used: %s", datasets.place(POINTER), type(error).__name__)
        return None
