"""The images without a Docker engine: the linter, the build context, and what is to be installed against the locks."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from deployments import pools
from flows import lineage
from tests.compose import ROOT

DOCKERFILE = ROOT / "deployments" / "Dockerfile"
TEXT = DOCKERFILE.read_text()
INSTRUCTIONS = re.sub(r"\\\n(\s*#.*\n)*", " ", TEXT)
REQUIREMENTS = ROOT / "deployments" / "mlflow" / "requirements.txt"


def stages() -> dict[str, str]:
    """The instructions of each stage, with those of the stages that it is made from before them."""
    found: dict[str, str] = {}
    for parent, name, body in re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", INSTRUCTIONS, re.M | re.S):
        found[name] = found.get(parent, "") + body
    return found


def extras(stage: str) -> list[str]:
    """The extras that the stage's `uv sync` names."""
    words = shlex.split(next(line for line in stages()[stage].splitlines() if "uv sync" in line))
    return [words[index + 1] for index, word in enumerate(words) if word == "--extra"]


def context(root: Path) -> set[str]:
    """The files of the build context, as Docker reads `.dockerignore`, which it takes along itself."""
    patterns = [line for line in (root / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    found = {path for path in exclude_paths(str(root), patterns) if (root / path).is_file()}
    return found - {".dockerignore"}


def locked() -> dict[str, str]:
    """The versions in uv.lock."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return {package["name"]: package["version"] for package in lock["package"] if "version" in package}


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(linter), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("stage", "expected"), [("build-cpu", ["s3"]), ("build-gpu", ["s3", "gpu"])])
def test_the_extras_that_are_installed_are_the_projects(stage: str, expected: list[str]) -> None:
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras(stage) == expected
    assert {*expected, "docker", "kubernetes"} <= offered.keys()
    assert "uv sync --locked --no-dev" in stages()[stage]


def test_mlflows_server_has_the_version_of_the_projects_mlflow() -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(), flags=re.MULTILINE))
    assert pinned["mlflow"] == pinned["mlflow-skinny"] == locked()["mlflow-skinny"]
    assert {"psycopg2-binary", "boto3"} <= pinned.keys()
    # One hash at least for each, or uv would refuse them in the image.
    hashes = re.findall(r"^[a-z0-9-]+==.*\\\n    --hash=sha256:[0-9a-f]{64}", REQUIREMENTS.read_text(), re.MULTILINE)
    assert len(hashes) == len(pinned)


@pytest.mark.parametrize("target", ["cpu", "gpu", "mlflow"])
def test_an_image_is_not_root_and_tells_its_health(target: str) -> None:
    stage = stages()[target]
    assert re.findall(r"^USER (\S+)", stage, re.MULTILINE)[-1] == "10001:10001"
    assert "HEALTHCHECK" in stage
    assert "MLFLOW_DISABLE_TELEMETRY=true" in stage
    assert "DO_NOT_TRACK=1" in stage
    assert not re.search(r"PASSWORD|SECRET|TOKEN|AUTH_STRING", stage)
    assert "NVIDIA_VISIBLE_DEVICES=" not in stage


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_takes_along_the_commit_that_it_is_built_from(target: str) -> None:
    stage = stages()[target]
    assert f'\nARG GIT_COMMIT=""\nENV {lineage.VARIABLE}=$GIT_COMMIT\n' in stage
    # What comes after it would be made anew with each commit.
    assert stage.index("ARG GIT_COMMIT") > max(found.start() for found in re.finditer(r"^RUN ", stage, re.MULTILINE))


@pytest.mark.parametrize("path", ["deployments/README.md", "docs/workers.md"])
def test_the_documents_build_every_image_that_kubernetes_pulls(path: str) -> None:
    workers = (ROOT / "deployments" / "kubernetes" / "worker.yaml").read_text()
    images = [entry.defaults("kubernetes")["image"] for entry in pools.read_entries().values()]
    wanted = {image.rpartition(":")[2] for image in [*images, *re.findall(r"image: (\S+)", workers)]}
    text = (ROOT / path).read_text().replace("\\\n", " ")
    builds = dict(re.findall(r"docker build .*?--target (\S+.*) -t \S+:(\S+) \.$", text, re.MULTILINE))
    assert {tag: build.split() for build, tag in builds.items()} == {
        "gpu": ["gpu"],
        "cpu": ["cpu"],
        "kubernetes-worker": ["cpu", "--build-arg", "WORKER=kubernetes"],
    }
    assert wanted == set(builds.values())


def test_pools_name_the_images_user_and_folders() -> None:
    docker, kubernetes = (pools.read_template(kind) for kind in ("docker", "kubernetes"))
    assert docker["variables"]["properties"]["user"]["default"] == "10001:10001"
    pod = kubernetes["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (10001, 10001)
    for template in (docker, kubernetes):
        assert f"\nWORKDIR {template['variables']['properties']['working_dir']['default']}\n" in TEXT
    for folder in ("/srv/store", "/srv/cache"):
        assert folder in TEXT


def test_the_context_is_all_that_a_run_needs(tmp_path: Path) -> None:
    for path in context(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for command in (["flows.retraining", "--help"], ["flows.promotion", "--help"], ["deployments.check"]):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr


def test_the_context_has_no_secret_and_nothing_of_a_checkouts_own(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    kept = ["uv.lock", "flows/retraining.py", "deployments/prefect.yaml"]
    left = [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "README.md",
        "deployments/.env",
        "deployments/README.md",
        "deployments/secrets/tls.key",
        "flows/__pycache__/retraining.pyc",
        "store/dataset/x",
        "tasks/.env.local",
        "tests/conftest.py",
    ]
    for path in kept + left:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert context(tmp_path) == set(kept)
