"""Asks the gate about a candidate, with the predictions and labels that the store keeps."""

import numpy as np

from cnn_model.metrics import Probabilities
from tasks import store
from tasks.errors import RegistryError
from tasks.register import corruptions
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.store import Reference
from tasks.values.decision import Decision
from tasks.values.opponents import ScoredChampion


def judge(candidate: Candidate, config: RegisterConfig) -> Decision:
    """Whether a model earns to be champion.

    Raises:
        RegistryError: if models were scored on other test images.
        StoreError: if an artifact is missing or damaged.
    """
    evaluation, splits = candidate.evaluation, candidate.splits
    champion, anchor = candidate.opponents.champion, candidate.opponents.anchor
    scored = [other.predictions for other in (champion, anchor) if other is not None and other.predictions is not None]
    digests = {evaluation.test_digest, *(predictions.test_digest for predictions in scored)}
    digests |= corruptions.test_digests(candidate.robustness)
    if digests != {splits.test_digest}:
        raise RegistryError(
            f"The models were scored on the test images {', '.join(sorted(digests))}; expected {splits.test_digest} "
            "for all. Run again with --force to score them anew."
        )
    arrays = store.current().fetch(splits.artifact)
    images = TestImages(
        labels=np.load(arrays / "test_labels.npy", allow_pickle=False),
        distinct=~candidate.near_duplicates.test_images_in_train(),
        class_names=splits.class_names,
    )
    return decide(
        _probabilities(evaluation.artifact),
        images,
        _opponent(champion),
        _opponent(anchor),
        config,
        corrupted=corruptions.load(candidate.robustness),
    )


def _opponent(scored: ScoredChampion | None) -> Opponent | None:
    if scored is None:
        return None
    probabilities = _probabilities(scored.predictions.artifact) if scored.predictions is not None else None
    return Opponent(scored.version, probabilities, scored.problem)


def _probabilities(artifact: Reference) -> Probabilities:
    found: Probabilities = np.load(store.current().fetch(artifact) / "probabilities.npy", allow_pickle=False)
    return found
