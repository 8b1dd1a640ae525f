"""The step `ingest` as a Prefect task."""

from prefect import task

from tasks import policies
from tasks.ingest import dataset
from tasks.ingest.config import IngestConfig
from tasks.ingest.sources import Source
from tasks.values.dataset import RawDataset


@task(name="ingest", **policies.cached(distributions=("numpy",)))
def ingest(source: Source, config: IngestConfig) -> RawDataset:
    """Get the images that a source stands for into the store.

    Args:
        source: What `sources.resolve` gave. Local data are in the cache key by their bytes, not by where they lie.
        config: The section `ingest`.

    Returns:
        The dataset. Its name says whether the images are the official ones, practice images or others.
    """
    return dataset.build(source, config)
