"""The step `ingest` as a Prefect task."""

from prefect import task

from tasks import policies
from tasks.ingest import dataset, drops
from tasks.ingest.config import IngestConfig
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.values.dataset import RawDataset

NO_DROPS = Arrivals()


@task(name="ingest", **policies.cached(distributions=("numpy",)))
def ingest(source: Source, config: IngestConfig, arrivals: Arrivals = NO_DROPS) -> RawDataset:
    """Get the images that a source stands for, and the drops that were found, into the store.

    Args:
        source: What `sources.resolve` gave. Local data are in the cache key by their bytes, not by where they lie.
        config: The section `ingest`.
        arrivals: What `drops.find` gave. Drops are in the cache key by name and content.

    Returns:
        The dataset, with every drop, good or not. Its name says whether the images of the base are the official ones,
        practice images or others.
    """
    return dataset.build(source, config).model_copy(update={"drops": drops.read(arrivals, config)})
