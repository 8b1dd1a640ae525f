"""Whole scorings with a small champion: in a process as a person starts them, and as the flow."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId

from flows.execution import StepFailedError
from flows.scoring import score
from tasks.store import Store
from tasks.values.scoring import ScoringSummary
from tests.processes import PATIENCE_SECONDS, RUN_SECONDS, ended, find_descendant, wait_for, without_settings
from tests.scoring import MODEL, noise, png, pngs, promote, read_rows, save_model, write_folder, write_parquet

FILES = pngs(noise(23))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "model.keras", seed=1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", FILES)


@pytest.fixture
def champion(opened_store: Store, model_file: Path) -> Store:
    """A store with a champion; it is the current one."""
    promote(opened_store, model_file)
    return opened_store


def scored(images: Path, **parameters: Any) -> ScoringSummary:
    section = {"images_per_part": 10, "batch_size": 10, **parameters.pop("section", {})}
    summary: ScoringSummary = score(**{"images": str(images), "model": MODEL, "score": section, **parameters})
    return summary


def test_images_are_scored_once_and_the_log_keeps_it(prefect_server: None, champion: Store, images: Path) -> None:
    summary = scored(images)
    folder = Path(summary.scoring.output)
    assert (summary.outcome, summary.scoring.figures.num_images) == ("scored", 23)
    assert [row["path"] for row in read_rows(folder)] == sorted(FILES)
    assert folder.parent == champion.root / "predictions" / MODEL
    assert {path.name for path in folder.iterdir()} == {
        *(f"part-0000{number}.parquet" for number in range(3)),
        "claim.json",
        "score.json",
    }
    assert ScoringSummary.model_validate_json((folder / "score.json").read_bytes()) == summary
    assert summary.scoring.sample is not None
    assert {path.name for path in champion.fetch(summary.scoring.sample).iterdir()} == {
        "images.npy",
        "classes.npy",
        "names.json",
        "manifest.json",
    }
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = scored(images)
    assert again == summary.model_copy(update={"outcome": "unchanged"})
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_other_images_models_and_parts_are_other_scorings(
    prefect_server: None, champion: Store, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    first = scored(images, output=str(output))
    # The log has it as well, wherever the parts are.
    (entry,) = (champion.root / "predictions" / MODEL).glob("*/score.json")
    assert entry.read_bytes() == (output / "score.json").read_bytes()
    assert first.scoring.output == str(output)
    promote(champion, save_model(tmp_path / "other.keras", seed=2), 2)
    for parameters in ({"version": None}, {"version": 1, "section": {"images_per_part": 7}}):
        with pytest.raises(
            StepFailedError, match=rf"score failed \(\w+\): {output} belongs to another scoring: {images} by"
        ):
            scored(images, output=str(output), **parameters)
    again = scored(images, output=str(output), version=1)
    assert (again.outcome, first.scoring.model.champion, again.scoring.model.champion) == ("unchanged", True, False)
    (images / "c.png").write_bytes(png(noise(1, seed=9)[0]))
    with pytest.raises(StepFailedError, match="belongs to another scoring"):
        scored(images, output=str(output), version=1)
    assert len(read_rows(output)) == 23


@pytest.mark.parametrize("log_first", [True, False])
def test_the_same_scoring_may_lie_in_the_log_and_elsewhere(
    prefect_server: None, champion: Store, images: Path, tmp_path: Path, log_first: bool
) -> None:
    outputs = [None, str(tmp_path / "output")]
    summaries = [scored(images, output=output) for output in (outputs if log_first else outputs[::-1])]
    assert [summary.outcome for summary in summaries] == ["scored", "scored"]
    entries = [*(champion.root / "predictions" / MODEL).glob("*/score.json")]
    logged = [ScoringSummary.model_validate_json(entry.read_bytes()) for entry in entries]
    assert {summary.scoring.output for summary in logged} == {summary.scoring.output for summary in summaries}
    assert {scored(images, output=output).outcome for output in outputs} == {"unchanged"}


def test_a_damaged_part_is_made_again(prefect_server: None, champion: Store, images: Path) -> None:
    folder = Path(scored(images).scoring.output)
    rows = read_rows(folder)
    second = folder / "part-00001.parquet"
    second.write_bytes(second.read_bytes()[:-20])
    again = scored(images)
    assert (again.outcome, again.scoring.num_scored) == ("scored", 13)
    assert [(row["path"], row["class"]) for row in read_rows(folder)] == [(row["path"], row["class"]) for row in rows]


def test_unreadable_images_are_counted_and_named(prefect_server: None, champion: Store, images: Path) -> None:
    (images / "a" / "0000.png").write_bytes(b"")
    figures = scored(images).scoring.figures
    assert (figures.num_images, figures.num_unreadable, sum(figures.classes.values())) == (23, 1, 22)
    assert figures.unreadable[0].name == "a/0000.png"


@pytest.mark.parametrize("fault", ["no champion", "damaged", "no images"])
def test_what_cannot_be_scored_fails_with_the_cause(
    prefect_server: None, opened_store: Store, images: Path, model_file: Path, fault: str
) -> None:
    if fault != "no champion":
        entry = promote(opened_store, model_file)
    if fault == "damaged":
        path = opened_store.fetch(opened_store.find(entry.model_digest)) / "model.keras"
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    elif fault == "no images":
        for path in images.rglob("*.png"):
            path.unlink()
    match = {"no champion": "has no champion yet", "damaged": "is damaged", "no images": "holds no image"}[fault]
    with pytest.raises(StepFailedError, match=rf"score failed \(\w+\): .*{match}"):
        scored(images)
    assert [*opened_store.root.glob(f"predictions/{MODEL}/*/part-*")] == []


def test_the_dashboard_says_what_was_scored(prefect_server: None, champion: Store, images: Path) -> None:
    summary = scored(images)
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[summary.run_id])))
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(summary.run_id)]))
        (artifact,) = client.read_artifacts(artifact_filter=wanted)
    assert (run.name, run.state_name) == (f"score local {MODEL} champion", "Completed")
    text = str(artifact.data)
    assert text.startswith(f"23 images, by {MODEL} version 1, ")
    assert "images a second on CPU with" in text
    assert "| airplane |" in text


class Start(Protocol):
    def __call__(self, *options: str) -> "subprocess.Popen[str]": ...


@pytest.fixture
def start(champion: Store) -> Iterator[Start]:
    """Starts the command on the store of the test; what still runs at the test's end is killed."""
    with ExitStack() as processes:

        def started(*options: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.scoring", "--store", str(champion.root), "--model", MODEL, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**without_settings(), "HOME": str(champion.root)},
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield started


@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_after_its_last_whole_part(start: Start, tmp_path: Path) -> None:
    data = png(noise(1)[0])
    place = write_parquet(tmp_path / "x.parquet", [{"path": f"{number}.png", "image": data} for number in range(6000)])
    options = [
        str(place),
        "--output",
        str(tmp_path / "out"),
        "--score.images-per-part",
        "20",
        "--score.batch-size",
        "20",
    ]
    first = start(*options)
    wait_for(lambda: (tmp_path / "out" / "part-00003.parquet").exists(), lambda: first.poll() is None, RUN_SECONDS)
    scorer = find_descendant("cnn_model", "score", of=first.pid)
    assert scorer is not None
    first.kill()
    first.wait(timeout=PATIENCE_SECONDS)
    wait_for(lambda: ended(scorer))
    assert not (tmp_path / "out" / "score.json").exists()
    whole = {part: part.stat().st_mtime_ns for part in (tmp_path / "out").glob("part-*.parquet")}
    assert 4 <= len(whole) < 300

    again = start(*options)
    stdout, stderr = again.communicate(timeout=RUN_SECONDS)
    assert (again.returncode, stderr) == (0, ""), stdout
    assert f"Goes on after {len(whole)} whole parts, {20 * len(whole):,} images." in stdout
    assert {part: part.stat().st_mtime_ns for part in whole} == whole
    assert [row["path"] for row in read_rows(tmp_path / "out")] == [f"{number}.png" for number in range(6000)]
    summary = json.loads((tmp_path / "out" / "score.json").read_text())
    assert summary["scoring"]["num_scored"] == 6000 - 20 * len(whole)
    assert re.search(r"^Images   6,000, [\d,]+ images a second on CPU with \d+ cores$", stdout, re.MULTILINE)
    assert stdout.splitlines()[-1] == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["/no/such/folder"], "'/no/such/folder' is not there; expected a folder of PNG or JPEG files"),
        ([".", "--version", "0"], r"--version: .*greater than or equal to 1; got '0'"),
        ([".", "--model", "../x"], "The model is '../x'; expected a registered name"),
        ([".", "--score.batch", "3"], "unrecognized arguments"),
        ([], "IMAGES"),
    ],
)
def test_a_wrong_option_starts_nothing(tmp_path: Path, options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "flows.scoring", "--store", str(tmp_path / "store"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr), done.stderr
    assert done.stderr.startswith("python -m flows.scoring: ")
    assert not (tmp_path / "store").exists()


def test_importing_the_flow_loads_no_heavy_library() -> None:
    script = (
        "import sys, flows.scoring\n"
        "heavy = {'tensorflow', 'keras', 'great_expectations', 'mlflow', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
