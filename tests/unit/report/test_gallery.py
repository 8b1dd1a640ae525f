import base64
import io

import numpy as np
import pytest
from PIL import Image

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.report.contents import ReportContents
from tasks.report.gallery import Gallery, ScoredImages, gallery


def pictures(
    contents: ReportContents, num_sample: int = 20, num_predictions: int = 0, num_mistakes: int = 4
) -> Gallery:
    assert contents.splits is not None
    assert contents.evaluation is not None
    return gallery(
        ScoredImages(contents.splits, contents.evaluation.artifact),
        num_sample=num_sample,
        num_predictions=num_predictions,
        num_mistakes=num_mistakes,
    )


def test_sample_takes_the_classes_in_turn(promoted: ReportContents) -> None:
    found = pictures(promoted, num_sample=13).sample
    assert [picture.index for picture in found] == list(range(13))
    assert [picture.true_class for picture in found] == [*CLASS_NAMES, *CLASS_NAMES[:3]]


def test_predictions_are_a_sample_and_then_the_least_sure(promoted: ReportContents) -> None:
    # Probabilities of 0.60 at every sixth image, 0.65 at the one after it, and so on; 0 is of the sample already.
    found = pictures(promoted, num_predictions=5).predictions
    assert [picture.index for picture in found] == [0, 1, 2, 6, 12]


def test_prediction_has_the_probability_of_every_class(promoted: ReportContents) -> None:
    picture = pictures(promoted, num_predictions=1).predictions[0]
    assert list(picture.probabilities) == list(CLASS_NAMES)
    assert list(picture.probabilities.values()) == pytest.approx([0.01, 0.6, *[0.01] * 8])


def test_mistakes_are_wrong_and_the_surest_first(promoted: ReportContents) -> None:
    found = pictures(promoted)
    assert [picture.index for picture in found.mistakes] == [5, 4, 3, 2]
    assert found.num_mistakes == 6
    worst = found.mistakes[0]
    assert (worst.true_class, worst.predicted_class, worst.correct) == ("dog", "frog", False)
    assert (worst.true_probability, worst.predicted_probability) == pytest.approx((0.01, 0.85))


def test_picture_holds_the_image_pixel_for_pixel(promoted: ReportContents) -> None:
    assert promoted.splits is not None
    images = np.load(store.current().fetch(promoted.splits.artifact) / "test_images.npy")
    picture = pictures(promoted).sample[7]
    decoded = Image.open(io.BytesIO(base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))))
    np.testing.assert_array_equal(np.asarray(decoded), images[picture.index])


def test_more_pictures_than_there_are_images(promoted: ReportContents) -> None:
    found = pictures(promoted, num_sample=200, num_predictions=200, num_mistakes=200)
    assert (len(found.sample), len(found.predictions), len(found.mistakes)) == (60, 60, 6)


def test_probabilities_of_other_images_are_refused(promoted: ReportContents) -> None:
    assert promoted.evaluation is not None
    with store.current().staging() as folder:
        np.save(folder / "probabilities.npy", np.zeros((7, 10), dtype=np.float32))
        other = promoted.evaluation.model_copy(update={"artifact": store.current().publish(folder)})
    with pytest.raises(ValueError, match="60 test images, 60 labels and 7 probabilities; expected as many"):
        pictures(promoted.model_copy(update={"evaluation": other}))
