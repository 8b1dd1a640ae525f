import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from cnn_model.failures import BadRequestError
from cnn_model.recipe import Recipe
from cnn_model.recipes import catalogue
from tasks.train.config import RecipeName

RECIPES_FOLDER = Path(importlib.import_module("cnn_model.recipes.fast").__file__ or "").parent


@pytest.mark.parametrize("name", catalogue.names())
def test_recipes_are_found_by_their_own_name_and_survive_json(name: str):
    recipe = catalogue.find(name)

    assert recipe.name == name
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert catalogue.claim(name)


def test_every_file_of_a_recipe_is_in_the_catalogue():
    files = {path.stem for path in RECIPES_FOLDER.glob("*.py")} - {"__init__", "catalogue"}

    assert {name.replace("-", "_") for name in catalogue.names()} == files


def test_an_unknown_recipe_is_refused_with_the_names_that_exist():
    with pytest.raises(BadRequestError, match="no recipe 'slow'; expected one of fast, sprint, accurate, regular"):
        catalogue.find("slow")


def test_the_list_names_recipes_with_size_work_and_claim():
    command = [sys.executable, "-m", "cnn_model", "recipes"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert [line.split()[0] for line in lines] == list(catalogue.names())
    softmax = next(line for line in lines if line.startswith("tutorial-64-softmax"))
    assert "167,562 parameters" in softmax
    assert "MFLOP an image, 10 epochs: " in softmax
    assert softmax.endswith(catalogue.claim("tutorial-64-softmax"))


def test_finding_a_recipe_loads_no_framework():
    script = (
        "import json, sys; from cnn_model.recipes.catalogue import find, names; [find(name) for name in names()];"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert not {"keras", "tensorflow", "jax"} & set(json.loads(done.stdout))


def test_the_pipeline_offers_every_recipe():
    assert get_args(RecipeName) == catalogue.names()
