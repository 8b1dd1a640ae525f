import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from tasks.ingest.config import IngestConfig
from tasks.ingest.sources import Source
from tasks.ingest.step import ingest
from tasks.policies import StepCache


def test_the_step_gives_what_the_flow_hands_on(opened_store):
    given = ingest.fn(Source(kind="synthetic"), IngestConfig(synthetic_images=120))

    assert (given.name, given.num_train_images + given.num_test_images) == ("synthetic", 120)
    opened_store.fetch(given.artifact)


def test_the_place_of_local_data_is_in_no_cache_key():
    assert isinstance(ingest.cache_policy, StepCache)
    context: Any = SimpleNamespace(task=ingest)
    here, there, other = (
        ingest.cache_policy.compute_key(context, {"source": source}, {})
        for source in (
            Source(kind="local", digest="a" * 64, slug="x", location="/here"),
            Source(kind="local", digest="a" * 64, slug="x", location="/there"),
            Source(kind="local", digest="b" * 64, slug="x", location="/here"),
        )
    )
    assert here == there != other


def test_importing_the_step_loads_no_heavy_library():
    heavy = "{'pandas', 'tensorflow', 'keras', 'great_expectations', 'mlflow', 'sklearn', 'scipy', 'matplotlib'}"
    code = f"import sys, tasks.ingest.step; print(sorted({heavy} & sys.modules.keys()))"

    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "[]"
