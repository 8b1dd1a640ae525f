"""Registers a model, decides about it and promotes it. Each step can be repeated after a kill without harm.

Where a person is to approve of a promotion, they stand between the two: `register_model` decides, and `conclude`
promotes or refuses when they have answered. No lock is held while they think.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from filelock import FileLock

from tasks import store
from tasks.champions import publish_record
from tasks.errors import RegistryError
from tasks.ledger import Ledger, LedgerEntry, model_name, open_ledger
from tasks.register import corruptions, decisions, run_log
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.decisions import KeptDecision
from tasks.register.judging import judge
from tasks.registry import RULE_TAG, VERDICT_TAG, WAITS_RUN_TAG, WAITS_UNTIL_TAG, Registry, Version
from tasks.succession import promotion_of, was_rolled_back
from tasks.values.decision import Approval, Decision, Guard
from tasks.values.opponents import Opponents
from tasks.values.registration import Registration, Verdict


def register_model(candidate: Candidate, config: RegisterConfig) -> Registration:
    """Give the model a version, decide whether it becomes champion, and promote it if so.

    Raises:
        RegistryError: if another machine promoted at the same moment, or registry or ledger hold something wrong.
        RegistryUnreachableError: if the registry's server does not answer.
        StoreError: if an artifact is missing or damaged.
    """
    with _opened(candidate) as place:
        return _register(place, candidate, config)


def conclude(candidate: Candidate, waiting: Registration, approval: Approval, config: RegisterConfig) -> Registration:
    """Promote a model that waited for a person's word, or refuse it.

    Args:
        candidate: The model, as it was registered.
        waiting: What `register_model` gave for it.
        approval: What the person said, or that nobody did in time.
        config: As it was registered with.

    Raises:
        RegistryError: if another machine promoted at the same moment, the version is gone, or registry or ledger hold
            something wrong.
        RegistryUnreachableError: if the registry's server does not answer.
        StoreError: if the ledger cannot be read or written.
    """
    with _opened(candidate) as place:
        found = place.registry.find_version(place.name, candidate.model.result.model_sha256)
        if found is None:
            raise RegistryError(
                f"Version {waiting.version} of {place.name} is gone from the registry: somebody deleted it while it "
                "waited for approval. Run again to have the model registered anew."
            )
        outcome = _concluded(place, candidate, waiting, approval, config, found)
        return _tell(place, candidate, config, found, outcome)


@dataclass(frozen=True)
class _Place:
    """Registry and ledger of a model's name, while no other run of this store may change them."""

    name: str
    registry: Registry
    ledger: Ledger
    entries: Sequence[LedgerEntry]

    @property
    def champion(self) -> LedgerEntry | None:
        return self.entries[-1] if self.entries else None

    @property
    def champion_number(self) -> int | None:
        return self.champion.number if self.champion is not None else None


@dataclass(frozen=True)
class _Outcome:
    """What became of a model: the verdict, and what led to it where it was decided about."""

    verdict: Verdict
    sentence: str
    decision: Decision | None = None
    promoted: LedgerEntry | None = None
    waits_until: datetime | None = None


@contextmanager
def _opened(candidate: Candidate) -> Iterator[_Place]:
    name = model_name(candidate.splits.dataset_name)
    # Between looking at the champion and replacing it no other run of this store may do the same.
    with FileLock(store.current().folder("locks") / f"register-{name}.lock"):
        registry, ledger = Registry(), open_ledger(name)
        entries = ledger.entries()
        registry.check_ledger(name, ledger)
        yield _Place(name, registry, ledger, entries)


def _register(place: _Place, candidate: Candidate, config: RegisterConfig) -> Registration:
    name, entries, champion = place.name, place.entries, place.champion
    sha256 = candidate.model.result.model_sha256
    found = place.registry.find_version(name, sha256)
    if found is None:
        logged = run_log.log_run(place.registry, candidate, config.experiment)
        tags = run_log.version_tags(candidate)
        found = place.registry.create_version(name, logged, candidate.model.artifact.digest, tags)
    told, standing = found.tags.get(VERDICT_TAG), promotion_of(entries, sha256)
    told_by_this_rule = told is not None and found.tags.get(RULE_TAG) == _rule(candidate, config)
    # A person's word brings back what was promoted before and is champion no more.
    brought_back = config.policy == "force" and champion is not None and champion.model_sha256 != sha256
    known = f"Unchanged: this model is version {found.number} of {name}"
    if was_rolled_back(entries, sha256) and not brought_back:
        outcome = _Outcome("unchanged", f"{known}, which was rolled back.")
    elif told == "promoted" and not brought_back:
        outcome = _Outcome("unchanged", f"{known} already (promoted).")
    elif standing is not None and not brought_back:
        # A run was killed, or lost the registry, after this promotion and before it could tell of it.
        outcome = _Outcome("promoted", standing.reason, decisions.find(standing), standing)
    elif told == "waiting" and told_by_this_rule and (until := _waits_for_another(found.tags, candidate)):
        outcome = _Outcome("unchanged", f"{known} already, which waits for approval until {_moment(until)}.")
    elif told != "waiting" and told_by_this_rule and not brought_back:
        outcome = _Outcome("unchanged", f"{known} already ({told}).")
    elif place.champion_number != _compared_with(candidate.opponents):
        outcome = _overtaken(champion, "at work")
    else:
        outcome = _decided(place, candidate, config, found)
    return _tell(place, candidate, config, found, outcome)


def _decided(place: _Place, candidate: Candidate, config: RegisterConfig, found: Version) -> _Outcome:
    """Ask the gate, keep what it says, and do it; a promotion that a person is to approve of waits."""
    decision = judge(candidate, config)
    _keep(place, candidate, config, found, decision)
    if not decision.promote:
        return _Outcome("refused", decision.sentence, decision)
    if config.asks_a_person:
        until = datetime.now(UTC) + timedelta(hours=config.approval_hours)
        evidence = decision.sentence.removeprefix("Promoted: ")
        sentence = f"Waits for approval until {_moment(until)}. The gate would promote it: {evidence}"
        return _Outcome("waiting", sentence, decision, waits_until=until)
    return _promoted(place, candidate, found.number, decision)


def _concluded(
    place: _Place,
    candidate: Candidate,
    waiting: Registration,
    approval: Approval,
    config: RegisterConfig,
    found: Version,
) -> _Outcome:
    """What becomes of a model that waited."""
    asked, standing = waiting.decision, promotion_of(place.entries, candidate.model.result.model_sha256)
    assert asked is not None, "only what was decided waits"
    if standing is not None:
        # By this run, which was killed before it could tell of it, or by a person's command meanwhile.
        return _Outcome("promoted", standing.reason, decisions.find(standing), standing)
    if approval.promote and place.champion_number != _compared_with(candidate.opponents):
        return _overtaken(place.champion, "waiting for approval")
    evidence = asked.sentence.removeprefix("Promoted: ")
    sentence = f"Not promoted: {approval.refusal}. The gate would have promoted it: {evidence}"
    if approval.promote:
        sentence = f"{asked.sentence} Approved by {approval.actor}: {approval.reason.rstrip('.')}."
    guard = Guard(name="approval", passed=approval.promote, decides=True, sentence=approval.refusal)
    said = {"promote": approval.promote, "sentence": sentence, "approval": approval, "guards": (*asked.guards, guard)}
    decision = asked.model_copy(update=said)
    _keep(place, candidate, config, found, decision)
    if not approval.promote:
        return _Outcome("refused", sentence, decision)
    return _promoted(place, candidate, found.number, decision)


def _promoted(place: _Place, candidate: Candidate, version: int, decision: Decision) -> _Outcome:
    # A copy here may be all that is left of them.
    for reference in candidate.named_for_good:
        store.current().ensure_kept(reference)
    publish_record(run_log.record_of(candidate))
    entry = place.ledger.promote(_entry(version, place.champion, candidate, decision), after=place.champion)
    return _Outcome("promoted", decision.sentence, decision, entry)


def _overtaken(champion: LedgerEntry | None, doing: str) -> _Outcome:
    return _Outcome(
        "refused",
        f"Not promoted: version {champion.version if champion else None} became champion while this run was {doing}. "
        "Run again to be compared with it.",
    )


def _keep(place: _Place, candidate: Candidate, config: RegisterConfig, found: Version, decision: Decision) -> None:
    decisions.keep(
        KeptDecision(
            model_name=place.name,
            version=found.number,
            model_sha256=candidate.model.result.model_sha256,
            run_id=candidate.run.run_id,
            rule=_rule(candidate, config),
            test_digest=candidate.evaluation.test_digest,
            decision=decision,
        )
    )


def _tell(
    place: _Place, candidate: Candidate, config: RegisterConfig, found: Version, outcome: _Outcome
) -> Registration:
    """Let registry and aliases say what the ledger says, and what became of the model."""
    name, registry = place.name, place.registry
    champion = place.ledger.champion()
    registry.mirror(name, place.ledger)
    num_decisions = decisions.count(name, candidate.evaluation.test_digest, place.ledger.entries())
    if outcome.verdict != "unchanged":
        tags = {"verdict_sentence": outcome.sentence, **run_log.decision_tags(outcome.decision, num_decisions)}
        if outcome.waits_until is not None:
            tags |= {WAITS_UNTIL_TAG: outcome.waits_until.isoformat(), WAITS_RUN_TAG: candidate.run.run_id}
        registry.challenge(name, found.number)
        # Last, and the rule after the verdict: a run that is killed before this is decided anew by the next one.
        tags |= {VERDICT_TAG: outcome.verdict, RULE_TAG: _rule(candidate, config)}
        registry.tag_version(name, found.number, tags)
        if outcome.waits_until is None:
            waited = [tag for tag in (WAITS_UNTIL_TAG, WAITS_RUN_TAG) if tag in found.tags]
            registry.untag_version(name, found.number, waited)
    return Registration(
        model_name=name,
        version=found.number,
        verdict=outcome.verdict,
        sentence=outcome.sentence,
        champion_version=champion.version if champion else None,
        ledger_entry=outcome.promoted.number if outcome.promoted else None,
        run_id=found.run_id,
        decision=outcome.decision,
        num_decisions=num_decisions,
        waits_until=outcome.waits_until,
    )


def _waits_for_another(tags: Mapping[str, str], candidate: Candidate) -> datetime | None:
    """Until when another run waits for a person to approve of this model; None once its time is up."""
    if tags.get(WAITS_RUN_TAG) == candidate.run.run_id or WAITS_UNTIL_TAG not in tags:
        return None
    until = datetime.fromisoformat(tags[WAITS_UNTIL_TAG])
    return until if until > datetime.now(UTC) else None


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rule(candidate: Candidate, config: RegisterConfig) -> str:
    """All that a decision hangs on beside the model: under another rule the model is judged anew."""
    opponents = {
        name: None if scored is None else {"entry": scored.entry, "problem": scored.problem}
        for name, scored in (("champion", candidate.opponents.champion), ("anchor", candidate.opponents.anchor))
    }
    conditions = config.model_dump(mode="json", exclude={"experiment", "approval_hours"}, exclude_defaults=True)
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


def _entry(version: int, champion: LedgerEntry | None, candidate: Candidate, decision: Decision) -> LedgerEntry:
    approval = decision.approval
    return LedgerEntry(
        **run_log.record_of(candidate).model_dump(),
        promoted_at=datetime.now(UTC),
        run_id=candidate.run.run_id,
        replaces_version=champion.version if champion else None,
        version=version,
        basis=decision.basis,
        actor=decision.actor or (approval.actor if approval is not None else None) or candidate.run.run_name,
        reason=decision.sentence,
    )
