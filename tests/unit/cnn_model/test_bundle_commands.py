"""`verify` and `predict` as a person and a program use them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_model import bundle
from cnn_model.__main__ import main
from cnn_model.class_names import CLASS_NAMES
from cnn_model.inference import predict
from tests.bundles import IMAGES, make_bundle, tiny_model

LOADED = """
import sys
from cnn_model.__main__ import main
code = main(sys.argv[1:])
print(*({"keras", "tensorflow"} & set(sys.modules)))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("tiny") / "bundle", tiny_model())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures, a text that is called one, and a note."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(folder / "a.png")
    Image.fromarray(np.tile(IMAGES[1], (4, 5, 1))).save(folder / "more" / "b.JPG", "JPEG")
    (folder / "c.png").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_verify_tells_what_was_seen(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(sealed)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Bundle   practice-cnn version 3, trained on practice images"
    assert lines[1] == f"Digest   {bundle.check(sealed)[1]}"
    assert lines[4].startswith("Golden   32 images, largest difference ")
    assert lines[-1] == "Verified"


def test_verify_in_json(sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle.pack(sealed, tmp_path / "bundle.tar.gz")
    assert main(["verify", str(tmp_path / "bundle.tar.gz"), "--json"]) == 0
    found = answer(capsys)
    assert (found["verified"], found["model_name"], found["model_version"]) == (True, "practice-cnn", 3)
    assert found["digest"] == bundle.check(sealed)[1]
    assert found["largest_difference"] <= found["tolerance"]


def test_a_changed_bundle_is_refused_before_keras_is_loaded(sealed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sealed, tmp_path / "changed")
    content = bytearray((folder / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.keras").write_bytes(content)
    for verb in (["verify", str(folder)], ["predict", str(folder), str(folder / "model.keras")]):
        done = subprocess.run([sys.executable, "-c", LOADED, *verb], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (1, "")
        assert "error (bad_bundle): model.keras in" in done.stderr


def test_a_good_bundle_says_nothing_on_standard_error(sealed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnn_model", "verify", str(sealed)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_jax_gives_the_same(sealed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnn_model", "verify", str(sealed), "--json"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "jax"


def test_another_digest_than_was_told_is_refused(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(sealed), "--digest", "ab" * 32]) == 1
    assert f"expected {'ab' * 32}" in capsys.readouterr().err


def test_a_table_of_predictions(
    sealed: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures.parent)
    assert main(["predict", str(sealed), "pictures", "missing.png"]) == 1
    said = capsys.readouterr()
    header, a, c, b, missing = said.out.splitlines()
    assert header.split() == ["image", "class", "probability", "next", "note"]
    row = predict(tiny_model(), IMAGES[:1])[0]
    assert CLASS_NAMES[row.argmax()] in a
    assert f"{100 * row.max():.1f} %" in a
    assert c.endswith("c.png       no image: neither a PNG nor a JPEG file, or damaged at its beginning")
    assert b.endswith("resized from 160 x 128")
    assert missing.endswith("no image: no such file")
    # Columns stand below one another.
    assert {line.index("no image") for line in (c, missing)} == {header.index("class")}
    assert said.err == "2 of 4 files cannot be read as an image\n"


def test_predictions_in_json(sealed: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(sealed), str(pictures / "a.png"), str(pictures / "more"), "--json"]) == 0
    found = answer(capsys)
    assert (found["model_name"], found["model_version"]) == ("practice-cnn", 3)
    a, b = found["images"]
    row = predict(tiny_model(), IMAGES[:1])[0]
    assert a["class"] == CLASS_NAMES[row.argmax()]
    assert [a["probabilities"][name] for name in CLASS_NAMES] == pytest.approx(row.tolist(), abs=1e-6)
    assert (a["resized_from"], b["resized_from"], b["problem"]) == (None, [160, 128], None)


def test_a_problem_in_json(sealed: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(sealed), str(pictures / "c.png"), "--json"]) == 1
    (image,) = answer(capsys)["images"]
    assert (image["class"], image["probability"], image["probabilities"]) == (None, None, None)
    assert image["problem"].startswith("neither a PNG nor a JPEG file")


def test_names_that_a_terminal_would_obey_are_shown_plainly(
    sealed: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = pictures / f"\x1b[31mred{'long' * 20}.png"
    (pictures / "a.png").rename(named)
    assert main(["predict", str(sealed), str(named)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.splitlines()[1].startswith("…")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "a.png"], "is no bundle; expected its folder"),
        (["bundle.tar.gz", "a.png"], "is no bundle; expected its folder"),
        (["{bundle}", "{empty}"], "holds no picture"),
    ],
)
def test_what_was_asked_wrongly_ends_with_2(
    arguments: list[str], message: str, sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    asked = [argument.format(bundle=sealed, empty=tmp_path / "empty") for argument in arguments]
    assert main(["predict", *asked]) == 2
    assert message in capsys.readouterr().err


def test_an_option_that_is_none_ends_with_2(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(sealed)])
    assert ended.value.code == 2
    assert "IMAGE" in capsys.readouterr().err


def test_more_images_than_a_batch_come_in_their_order(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnn_model.prediction.BATCH_SIZE", 2)
    for place in range(5):
        Image.fromarray(IMAGES[place]).save(tmp_path / f"{place}.png")
    assert main(["predict", str(sealed), str(tmp_path), "--json"]) == 0
    expected = predict(tiny_model(), IMAGES[:5]).max(axis=1)
    assert [image["probability"] for image in answer(capsys)["images"]] == pytest.approx(expected.tolist(), abs=1e-6)
