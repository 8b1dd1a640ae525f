"""What an edit of the project's own source recomputes, on a copy of it."""

import hashlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnn_model.recipes.catalogue import find
from tasks import policies, store
from tasks.evaluate.step import evaluate, score_champion, score_champion_corruptions, score_corruptions
from tasks.export.step import export
from tasks.ingest.step import ingest
from tasks.preprocess.step import preprocess
from tasks.store import Store
from tasks.train.step import train
from tasks.validate.step import validate
from tasks.values.dataset import RawDataset
from tests.drops import noise, publish_drop
from tests.near_duplicates import publish_near_duplicates

TASKS = {task.name: task for task in (ingest, validate, preprocess, train, evaluate, export)}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the first-party packages, where cache keys look for source."""
    for package in policies.FIRST_PARTY:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    return tmp_path


def keys() -> dict[str, str]:
    """Each cached step's key, for the same inputs."""
    found = {}
    for name, task in TASKS.items():
        context: Any = SimpleNamespace(task=task)
        policy = task.cache_policy
        assert isinstance(policy, policies.StepCache)
        found[name] = policy.compute_key(context, {}, {})
    return found


def changed_by(path: Path, old: str, new: str) -> set[str]:
    before = keys()
    edit(path, old, new)
    return {name for name, key in keys().items() if key != before[name]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r} to edit"
    path.write_text(text.replace(old, new, 1))


def test_a_function_of_training_recomputes_training_alone(checkout: Path) -> None:
    assert changed_by(checkout / "cnn_model" / "training.py", "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef ") == {
        "train"
    }


def test_another_corruption_scores_models_under_corruption_anew_and_nothing_else(checkout: Path) -> None:
    tasks = (evaluate, score_champion, score_corruptions, score_champion_corruptions)

    def by_name() -> dict[str, str]:
        contexts: list[Any] = [SimpleNamespace(task=task) for task in tasks]
        policies_of = [task.cache_policy for task in tasks]
        inputs = {"model": "m", "test_digest": "t", "num_images": 9}
        return {
            context.task.name: policy.compute_key(context, inputs, {})
            for context, policy in zip(contexts, policies_of, strict=True)
            if isinstance(policy, policies.StepCache)
        }

    before = by_name()
    # What was found of a new model is what is known of the champion that it becomes.
    assert before["corruptions"] == before["champion corruptions"]
    edit(checkout / "cnn_model" / "corruptions.py", "0.04", "0.05")
    after = by_name()
    assert {name for name in after if after[name] != before[name]} == {"corruptions", "champion corruptions"}


def test_an_earlier_training_is_looked_for_by_the_key_of_the_step(checkout: Path) -> None:
    """So it counts as the same training just as long as the cache would give its result."""
    context: Any = SimpleNamespace(task=train)
    policy, inputs = train.cache_policy, {"recipe": find("fast"), "seed": 0, "start": None}
    assert isinstance(policy, policies.StepCache)
    key = policy.keys_by(train, inputs, "seed")
    assert key(7) == policy.compute_key(context, {**inputs, "seed": 7}, {}) != key(8)
    edit(checkout / "cnn_model" / "training.py", "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef ")
    assert policy.keys_by(train, inputs, "seed")(7) != key(7)


@pytest.mark.parametrize(
    ("backend", "steps"), [("tensorflow", {"train", "evaluate", "export"}), ("jax", {"train", "evaluate"})]
)
def test_a_backend_recomputes_what_it_computes(checkout: Path, backend: str, steps: set[str]) -> None:
    file = checkout / "cnn_model" / "backends" / f"{backend}.py"
    assert changed_by(file, "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef ") == steps


def test_an_export_hangs_on_model_and_golden_images_and_on_no_other_step(checkout: Path) -> None:
    file = checkout / "cnn_model" / "exports.py"
    assert changed_by(file, "TOLERANCE = 1e-5", "TOLERANCE = 1e-6") == {"export"}
    assert changed_by(checkout / "tasks" / "bundle" / "writing.py", "bundle_digest", "digest") == set()


KEYS = """
import json
from types import SimpleNamespace
from prefect.cache_policies import TASK_SOURCE
from tasks.train.step import train
context = SimpleNamespace(task=train, task_run=None)
print(json.dumps([policy.compute_key(context, {}, {}) for policy in (TASK_SOURCE, train.cache_policy)]))
"""


def test_prefects_own_policy_would_serve_the_old_model(checkout: Path) -> None:
    """`TASK_SOURCE` sees an edit of the decorated function, and none below it."""
    before = keys_in(checkout)
    edit(checkout / "cnn_model" / "optimizers.py", "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef ")
    below = keys_in(checkout)
    edit(checkout / "tasks" / "train" / "step.py", "settings is not None", "settings")
    within = keys_in(checkout)
    assert before[0] == below[0] != within[0]
    assert len({before[1], below[1], within[1]}) == 3


def keys_in(checkout: Path) -> tuple[str, str]:
    """The keys of the step train in a process that imports the copy, by Prefect's policy and by ours."""
    done = subprocess.run([sys.executable, "-c", KEYS], cwd=checkout, capture_output=True, text=True, check=True)
    prefects, ours = json.loads(done.stdout.splitlines()[-1])
    return prefects, ours


RUN = [
    "--source=synthetic",
    "--ingest.synthetic-images=480",
    "--train.recipe=tutorial-64-logits",
    "--train.epochs=1",
    "--evaluate.corruption-images=0",
]


def test_a_run_under_which_the_code_changes_stops_and_the_next_one_goes_on(checkout: Path) -> None:
    """What the old code gave must not be kept as the new code's."""
    for name in ("flows", "pyproject.toml"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, checkout / name)
    edited = checkout / "cnn_model" / "training.py"
    command = [sys.executable, "-m", "flows.retraining", *RUN]
    with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        output = ""
        for line in run.stdout:
            output += line
            if "✓ ingest" in line:
                # Of train alone, which comes seconds later.
                edit(edited, "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef ")
    assert run.returncode == 1, output
    assert f"train failed (CodeChangedError): The code changed while the run was at work: {edited}" in output
    again = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert re.search(r"✓ preprocess +cached", again.stdout)


def test_another_value_in_the_recipe_at_work_retrains() -> None:
    context: Any = SimpleNamespace(task=train)
    policy, recipe = train.cache_policy, find("fast")
    assert isinstance(policy, policies.StepCache)
    other = recipe.model_copy(update={"batch_size": recipe.batch_size + 1})
    same, changed = (policy.compute_key(context, {"recipe": value}, {}) for value in (recipe, other))
    assert same == policy.compute_key(context, {"recipe": find("fast")}, {}) != changed


@pytest.mark.parametrize("task", [preprocess, evaluate], ids=lambda task: str(task.name))
def test_other_near_duplicates_split_and_score_anew(task: Any, opened_store: Store) -> None:
    context: Any = SimpleNamespace(task=task)
    none, again, one = (publish_near_duplicates(opened_store, 10, 5, pairs) for pairs in ([], [], [(1, 2)]))
    first, same, other = (
        task.cache_policy.compute_key(context, {"near_duplicates": value}, {}) for value in (none, again, one)
    )
    assert first == same != other


def test_extra_test_images_are_in_the_keys_of_what_reads_and_scores_them_alone(noise_dataset: RawDataset) -> None:
    """Of what the flow hands to preprocess and train nothing changes, so neither do the splits nor the model."""
    opened = store.current()
    one, other = (publish_drop(opened, noise(20, seed), "ours") for seed in (1, 2))
    datasets = [noise_dataset.model_copy(update={"extra_test": drop}) for drop in (None, one, other)]

    def distinct(task: Any, name: str, values: Sequence[Any]) -> int:
        context: Any = SimpleNamespace(task=task)
        return len({task.cache_policy.compute_key(context, {name: value}, {}) for value in values})

    assert distinct(validate, "dataset", datasets) == 3
    assert distinct(preprocess, "dataset", [dataset.without_extra_test() for dataset in datasets]) == 1
    assert distinct(evaluate, "extra_test", [dataset.extra_test for dataset in datasets]) == 3
    assert (
        "extra_test" not in inspect.signature(train.fn).parameters.keys() | inspect.signature(preprocess.fn).parameters
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tasks/report/template.html.j2", "<html", "<html data-edited"),
        ("tasks/report/config.py", "40,", "41,"),
        ("tasks/report/page.py", "\ndef ", "\ndef _unused() -> None: ...\n\n\ndef "),
        ("cnn_model/recipes/tutorial_64_logits.py", '"""', '"""Edited. '),
        ("cnn_model/recipes/fast.py", "epochs=", "epochs=1 + "),
        ("cnn_model/training.py", '"""', '"""Edited. '),
        ("tasks/train/config.py", 'description="', 'description="Edited. '),
        ("tasks/register/gate.py", "100 *", "100.0 *"),
    ],
)
def test_what_no_earlier_step_depends_on_recomputes_nothing(checkout: Path, file: str, old: str, new: str) -> None:
    before = whole_tree(checkout)
    assert changed_by(checkout / file, old, new) == set()
    # Why the key is not made of the whole tree: it would recompute everything.
    assert whole_tree(checkout) != before


def test_a_check_recomputes_validate_alone(checkout: Path) -> None:
    assert changed_by(checkout / "tasks" / "validate" / "suite.py", "MIN_CONTRAST = 2.0", "MIN_CONTRAST = 3.0") == {
        "validate"
    }


def whole_tree(folder: Path) -> str:
    contents = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256(b"".join(contents)).hexdigest()
