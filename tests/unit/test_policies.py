"""Cache keys on copies of small source trees, and the rule for retries."""

import ast
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect import task
from prefect.cache_policies import TASK_SOURCE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from pydantic import BaseModel

from tasks import policies
from tasks.errors import (
    ChildError,
    CodeChangedError,
    OutOfMemoryError,
    RegistryUnreachableError,
    SourceError,
    SourceUnreachableError,
)

STEP = '''"""A step."""
from cnn_model_probe.training import fit

def step(seed):
    return fit(seed)
'''
TRAINING = '''"""Training."""
from cnn_model_probe import layers
from cnn_model_probe.recipes.fast import EPOCHS  # a declaration

def fit(seed):
    """Fit."""
    import cnn_model_probe.lazy
    return layers.width() + seed  # a comment
'''


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that the policy takes for first-party."""
    files = {
        "__init__.py": "",
        "step.py": STEP,
        "training.py": TRAINING,
        "layers.py": "def width():\n    return 64\n",
        "lazy.py": "DEPTH = 1\n",
        "unused.py": "DEPTH = 1\n",
        "recipes/__init__.py": "",
        "recipes/fast.py": "EPOCHS = 3\n",
    }
    for name, text in files.items():
        path = tmp_path / "cnn_model_probe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    monkeypatch.setattr(policies, "FIRST_PARTY", ("cnn_model_probe",))
    return tmp_path / "cnn_model_probe"


def digest() -> str:
    return policies.source_digest(["cnn_model_probe.step"])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("layers.py", "64", "65"),
        ("training.py", "+ seed", "- seed"),
        ("lazy.py", "1", "2"),
        ("step.py", "fit(seed)", "fit(seed + 1)"),
    ],
)
def test_editing_code_that_the_step_reaches_changes_the_key(tree: Path, name: str, old: str, new: str) -> None:
    before = digest()
    edit(tree / name, old, new)
    assert digest() != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("training.py", '"""Fit."""', '"""Fit the model."""'),
        ("training.py", "# a comment", "# another"),
        ("step.py", '"""A step."""\n', ""),
        ("unused.py", "1", "2"),
        ("recipes/fast.py", "3", "4"),
    ],
)
def test_editing_words_other_modules_or_declarations_does_not(tree: Path, name: str, old: str, new: str) -> None:
    before = digest()
    edit(tree / name, old, new)
    assert digest() == before


@pytest.fixture
def begun(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, as if this process had begun with it."""
    monkeypatch.setattr(policies, "_BEGAN", {path: path.read_bytes() for path in tree.rglob("*.py")})
    return tree


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("layers.py", "def width():\n    return 65\n"),
        ("lazy.py", "DEPTH = \n"),
        ("training.py", None),
        ("step.py", TRAINING),
    ],
)
def test_code_that_changes_under_a_process_has_no_key(begun: Path, name: str, text: str | None) -> None:
    """What the process computes is by the code that it has imported, and its children are of the new one."""
    digest()
    if text is None:
        (begun / name).unlink()
    else:
        (begun / name).write_text(text)
    with pytest.raises(CodeChangedError, match=rf"cnn_model_probe/{name} is not what it was .* Start the run again"):
        digest()


@pytest.mark.parametrize(("name", "old", "new"), [("training.py", "# a comment", "# another"), ("unused.py", "1", "2")])
def test_words_and_other_modules_may_change_under_a_process(begun: Path, name: str, old: str, new: str) -> None:
    before = digest()
    edit(begun / name, old, new)
    assert digest() == before


def test_what_others_parse_meanwhile_fails_no_step(tree: Path) -> None:
    """On Python 3.11 alone, and rarely: a collection of garbage in the midst of it that parses, here or in a thread."""
    (tree / "layers.py").write_text("".join(f"LAYER_{number} = [{number}]\n" for number in range(2_000)))

    def parse(phase: str, info: dict[str, int]) -> None:
        ast.parse("f(1)")

    gc.callbacks.append(parse)
    try:
        digest()
    finally:
        gc.callbacks.remove(parse)


def probe(seed: int) -> int:
    return seed


def test_a_step_whose_code_has_changed_is_not_tried_again(begun: Path, caplog: pytest.LogCaptureFixture) -> None:
    probe.__module__ = "cnn_model_probe.step"
    step, run = (
        task(**policies.cached(distributions=()))(probe),
        TaskRun.model_construct(task_key="probe", dynamic_key="0"),
    )
    state: State[Any] = Failed(data=SourceUnreachableError("x"))
    assert policies.is_transient(step, run, state)
    edit(begun / "layers.py", "64", "65")
    assert not policies.is_transient(step, run, state)
    assert "Not tried again. The code changed" in caplog.text


def test_prefects_own_policy_would_not_see_an_edited_helper() -> None:
    """Why there is a policy of our own: `TASK_SOURCE` has the decorated function's lines and nothing else."""

    def key(helper: Callable[[], int]) -> str | None:
        @task
        def step() -> int:
            return helper()

        context: Any = SimpleNamespace(task=step, task_run=None)
        return TASK_SOURCE.compute_key(context, {}, {})

    assert key(lambda: 1) == key(lambda: 2)


def test_computing_a_key_imports_no_framework() -> None:
    script = (
        "import sys; from tasks import policies\n"
        "policies.source_digest(['tasks.train.step', 'cnn_model.training', 'tasks.validate.checks'])\n"
        "loaded = {'keras', 'tensorflow', 'great_expectations'} & set(sys.modules)\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_source_outside_the_first_party_packages_is_refused() -> None:
    with pytest.raises(ValueError, match="numpy"):
        policies.source_digest(["numpy"])


class Section(BaseModel):
    epochs: int = 1


def key(**inputs: Any) -> str:
    from tasks.preprocess.step import preprocess

    context: Any = SimpleNamespace(task=preprocess)
    return policies.StepCache(ignore=("location",)).compute_key(context, inputs, {})


def test_inputs_take_part_by_value_and_name() -> None:
    assert key(section=Section(epochs=1), seed=1) == key(seed=1, section=Section(epochs=1))
    assert key(section=Section(epochs=1)) != key(section=Section(epochs=2))
    assert key(seed=1) != key(seed=2)
    assert key(seed=1) != key(number=1)


def test_ignored_inputs_do_not() -> None:
    assert key(seed=1, location="/here") == key(seed=1, location="/there")


def test_an_input_that_has_no_value_of_its_own_is_refused() -> None:
    with pytest.raises(TypeError, match="pydantic model or a plain value"):
        key(images=object())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SourceUnreachableError("x"), True),
        (RegistryUnreachableError("x"), True),
        (httpx.ConnectError("x"), True),
        (ConnectionResetError(), True),
        (SourceError("x"), False),
        (OutOfMemoryError("x"), False),
        (ChildError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error: Exception, expected: bool) -> None:
    state: State[Any] = Failed(data=error)
    unused: Any = None
    assert policies.is_transient(task(key), unused, state) is expected
