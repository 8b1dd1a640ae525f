"""The step `ingest` as a Prefect task."""

from prefect import task

from tasks import policies
from tasks.ingest import corrections, dataset, drops, extra_test
from tasks.ingest.config import IngestConfig
from tasks.ingest.corrections import Corrections
from tasks.ingest.drops import Arrivals, FoundDrop
from tasks.ingest.sources import Source
from tasks.values.dataset import RawDataset

NO_DROPS = Arrivals()
NO_CORRECTIONS = Corrections()


@task(name="ingest", task_run_name="ingest, {source.kind} images", **policies.cached(distributions=("numpy", "pillow")))
def ingest(
    source: Source,
    config: IngestConfig,
    arrivals: Arrivals = NO_DROPS,
    corrected: Corrections = NO_CORRECTIONS,
    extra: FoundDrop | None = None,
) -> RawDataset:
    """Get the images that a source stands for, the drops and the extra test images that were found, into the store.

    Args:
        source: What `sources.resolve` gave. Local data are in the cache key by their bytes, not by where they lie.
        config: The section `ingest`.
        arrivals: What `drops.find` gave. Drops are in the cache key by name and content.
        corrected: What `corrections.read` gave; in the cache key by content.
        extra: What `extra_test.find` gave; in the cache key by name and content.

    Returns:
        The dataset, with every drop, good or not. Its name says whether the images of the base are the official ones,
        practice images or others.
    """
    base = corrections.apply(dataset.build(source, config), corrected)
    test_only = extra_test.read(extra, config, base.class_names)
    return base.model_copy(update={"drops": drops.read(arrivals, config), "extra_test": test_only})
