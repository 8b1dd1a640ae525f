"""Registers a model, decides about it and promotes it. Each step can be repeated after a kill without harm."""

import json
from datetime import UTC, datetime

import numpy as np
from filelock import FileLock

from cnn_model.metrics import Probabilities
from tasks import store
from tasks.errors import RegistryError
from tasks.ledger import LedgerEntry, model_name, open_ledger
from tasks.register import corruptions, decisions, run_log
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.decisions import KeptDecision
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.registry import RULE_TAG, VERDICT_TAG, Registry
from tasks.store import Reference
from tasks.succession import promotion_of, was_rolled_back
from tasks.values.decision import Decision
from tasks.values.opponents import Opponents, ScoredChampion
from tasks.values.registration import Registration, Verdict


def register_model(candidate: Candidate, config: RegisterConfig) -> Registration:
    """Give the model a version, decide whether it becomes champion, and promote it if so.

    Raises:
        RegistryError: if another machine promoted at the same moment, or registry or ledger hold something wrong.
        RegistryUnreachableError: if the registry's server does not answer.
        StoreError: if an artifact is missing or damaged.
    """
    name = model_name(candidate.splits.dataset_name)
    # Between looking at the champion and replacing it no other run of this store may do the same.
    with FileLock(store.current().folder("locks") / f"register-{name}.lock"):
        return _register(name, candidate, config)


def _register(name: str, candidate: Candidate, config: RegisterConfig) -> Registration:
    registry, ledger = Registry(), open_ledger(name)
    entries = ledger.entries()
    champion = entries[-1] if entries else None
    registry.check_ledger(name, ledger)
    model, test_digest = candidate.model, candidate.evaluation.test_digest
    sha256 = model.result.model_sha256
    found = registry.find_version(name, sha256)
    if found is None:
        logged = run_log.log_run(registry, candidate, config.experiment)
        found = registry.create_version(name, logged, model.artifact.digest, run_log.version_tags(candidate))
    rule = _rule(candidate, config)
    promoted: LedgerEntry | None = None
    decision: Decision | None = None
    verdict: Verdict = "unchanged"
    told, standing = found.tags.get(VERDICT_TAG), promotion_of(entries, sha256)
    # A person's word brings back what was promoted before and is champion no more.
    brought_back = config.policy == "force" and champion is not None and champion.model_sha256 != sha256
    if was_rolled_back(entries, sha256) and not brought_back:
        sentence = f"Unchanged: this model is version {found.number} of {name}, which was rolled back."
    elif told == "promoted" and not brought_back:
        sentence = f"Unchanged: this model is version {found.number} of {name} already (promoted)."
    elif standing is not None and not brought_back:
        # A run was killed, or lost the registry, after this promotion and before it could tell of it.
        promoted, verdict, sentence = standing, "promoted", standing.reason
        decision = decisions.find(standing)
    elif told is not None and found.tags.get(RULE_TAG) == rule and not brought_back:
        sentence = f"Unchanged: this model is version {found.number} of {name} already ({told})."
    elif (champion.number if champion else None) != _compared_with(candidate.opponents):
        verdict = "refused"
        sentence = (
            f"Not promoted: version {champion.version if champion else None} became champion while this run was at "
            "work. Run again to be compared with it."
        )
    else:
        decision = _decide(candidate, config)
        kept = KeptDecision(
            model_name=name,
            version=found.number,
            model_sha256=sha256,
            run_id=candidate.run.run_id,
            rule=rule,
            test_digest=test_digest,
            decision=decision,
        )
        decisions.keep(kept)
        verdict, sentence = ("promoted" if decision.promote else "refused"), decision.sentence
        if decision.promote:
            promoted = ledger.promote(_entry(found.number, champion, candidate, decision), after=champion)
    champion = ledger.champion()
    registry.mirror(name, ledger)
    num_decisions = decisions.count(name, test_digest, ledger.entries())
    if verdict != "unchanged":
        tags = {"verdict_sentence": sentence, **run_log.decision_tags(decision, num_decisions)}
        registry.challenge(name, found.number)
        # Last, and the rule after the verdict: a run that is killed before this is decided anew by the next one.
        registry.tag_version(name, found.number, {**tags, VERDICT_TAG: verdict, RULE_TAG: rule})
    return Registration(
        model_name=name,
        version=found.number,
        verdict=verdict,
        sentence=sentence,
        champion_version=champion.version if champion else None,
        ledger_entry=promoted.number if promoted else None,
        run_id=found.run_id,
        decision=decision,
        num_decisions=num_decisions,
    )


def _rule(candidate: Candidate, config: RegisterConfig) -> str:
    """All that a decision hangs on beside the model: under another rule the model is judged anew."""
    opponents = {
        name: None if scored is None else {"entry": scored.entry, "problem": scored.problem}
        for name, scored in (("champion", candidate.opponents.champion), ("anchor", candidate.opponents.anchor))
    }
    conditions = config.model_dump(mode="json", exclude={"experiment"}, exclude_defaults=True)
    return json.dumps(
        {
            "policy": config.policy,
            **conditions,
            **opponents,
            **corruptions.condition(candidate.robustness, config),
            "test": candidate.evaluation.test_digest[:12],
        }
    )


def _compared_with(opponents: Opponents) -> int | None:
    """The ledger's entry of the champion that was scored."""
    return opponents.champion.entry if opponents.champion is not None else None


def _decide(candidate: Candidate, config: RegisterConfig) -> Decision:
    """Ask the gate.

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


def _entry(version: int, champion: LedgerEntry | None, candidate: Candidate, decision: Decision) -> LedgerEntry:
    return LedgerEntry(
        **run_log.record_of(candidate).model_dump(),
        promoted_at=datetime.now(UTC),
        run_id=candidate.run.run_id,
        replaces_version=champion.version if champion else None,
        version=version,
        basis=decision.basis,
        actor=decision.actor or candidate.run.run_name,
        reason=decision.sentence,
    )
