"""The step `ingest` as a Prefect task."""

from prefect import task

from tasks import policies
from tasks.ingest import corrections, dataset, drops
from tasks.ingest.config import IngestConfig
from tasks.ingest.corrections import Corrections
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.values.dataset import RawDataset

NO_DROPS = Arrivals()
NO_CORRECTIONS = Corrections()


@task(name="ingest", **policies.cached(distributions=("numpy",)))
def ingest(
    source: Source, config: IngestConfig, arrivals: Arrivals = NO_DROPS, corrected: Corrections = NO_CORRECTIONS
) -> RawDataset:
    """Get the images that a source stands for, and the drops that were found, into the store.

    Args:
        source: What `sources.resolve` gave. Local data are in the cache key by their bytes, not by where they lie.
        config: The section `ingest`.
        arrivals: What `drops.find` gave. Drops are in the cache key by name and content.
        corrected: What `corrections.read` gave; in the cache key by content.

    Returns:
        The dataset, with every drop, good or not. Its name says whether the images of the base are the official ones,
        practice images or others.
    """
    base = corrections.apply(dataset.build(source, config), corrected)
    return base.model_copy(update={"drops": drops.read(arrivals, config)})
