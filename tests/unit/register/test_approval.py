"""A promotion between the gate and a person's word."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import store
from tasks.champions import RECORD_TAG, read_record
from tasks.errors import RegistryError
from tasks.ledger import LedgerEntry, open_ledger
from tasks.machine import Machine, use
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.registration import conclude, register_model
from tasks.registry import WAITS_RUN_TAG, WAITS_UNTIL_TAG, Registry, Version
from tasks.store import Store
from tasks.values.decision import Approval
from tests.unit.ingest.places import BucketPlace
from tests.unit.register.test_registration import make_candidate, register

NAME = "practice-cnn"
RULE = RegisterConfig(policy="improve", require_approval=True)
YES = Approval(promote=True, actor="Jane Doe", reason="it is needed", hours=24)
NO = Approval(promote=False, actor="Jane Doe", reason="too soon.", hours=24)
NOBODY = Approval(promote=False, actor=None, reason="", hours=24)


@pytest.fixture
def opened_store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    with use(Machine(store=tmp_path / "store")):
        shutil.copy(empty_database, store.current().folder())
        yield store.current()


def champion() -> LedgerEntry | None:
    return open_ledger(NAME).champion()


def version(number: int) -> Version:
    found = Registry().get_version(NAME, number)
    assert found is not None
    return found


@pytest.mark.usefixtures("opened_store")
def test_what_the_gate_would_promote_waits_and_holds_no_lock() -> None:
    candidate = make_candidate(0.5, "a")
    waiting = register_model(candidate, RULE)
    assert (waiting.verdict, waiting.version, waiting.ledger_entry) == ("waiting", 1, None)
    assert waiting.sentence.startswith("Waits for approval until ")
    assert " UTC. The gate would promote it: the first model, accuracy 50.00 %" in waiting.sentence
    assert waiting.waits_until is not None
    assert champion() is None
    tags = version(1).tags
    assert (tags["verdict"], tags[WAITS_UNTIL_TAG]) == ("waiting", waiting.waits_until.isoformat())
    # Another run may register and promote meanwhile.
    assert register(0.4, "b").verdict == "promoted"


@pytest.mark.parametrize("waits", [False, True])
def test_what_the_bucket_lost_is_there_again_before_a_promotion_names_it(
    bucket: BucketPlace, empty_database: Path, tmp_path: Path, waits: bool
) -> None:
    database = Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))
    settings = Machine(store=tmp_path / "here", bucket=bucket.address, tracking_uri=f"sqlite:///{database}")
    with use(settings):
        candidate = make_candidate(0.5, "a")
        waiting = register_model(candidate, RULE) if waits else None
        for name in bucket.names():
            if name.startswith("artifacts/"):
                bucket.remove(name)
        if waiting is None:
            register_model(candidate, RegisterConfig(policy="improve"))
        else:
            conclude(candidate, waiting, YES, RULE)
    with use(settings.model_copy(update={"store": tmp_path / "elsewhere"})):
        promoted = champion()
        assert promoted is not None
        for digest in (
            promoted.model_digest,
            candidate.dataset.artifact.digest,
            candidate.splits.artifact.digest,
            candidate.evaluation.artifact.digest,
        ):
            store.current().find(digest)
        assert read_record(version(1).tags[RECORD_TAG]).model_digest == promoted.model_digest


@pytest.mark.usefixtures("opened_store")
def test_an_approved_model_is_promoted_in_the_name_of_the_person() -> None:
    candidate = make_candidate(0.5, "a")
    promoted = conclude(candidate, register_model(candidate, RULE), YES, RULE)
    assert (promoted.verdict, promoted.ledger_entry, promoted.num_decisions) == ("promoted", 1, 1)
    assert promoted.sentence.startswith("Promoted: the first model, accuracy 50.00 %")
    assert promoted.sentence.endswith(" Approved by Jane Doe: it is needed.")
    entry = champion()
    assert entry is not None
    assert (entry.actor, entry.reason, entry.basis) == ("Jane Doe", promoted.sentence, "first")
    tags = version(1).tags
    assert (tags["verdict"], tags["approved_by"], tags["approval_reason"]) == ("promoted", "Jane Doe", "it is needed")
    assert not {WAITS_UNTIL_TAG, WAITS_RUN_TAG} & set(tags)


@pytest.mark.usefixtures("opened_store")
@pytest.mark.parametrize(
    ("approval", "sentence"),
    [
        (NO, "Not promoted: Jane Doe refused it: too soon. The gate would have promoted it: the first model"),
        (NOBODY, "Not promoted: nobody approved it within 24 hours. The gate would have promoted it: "),
    ],
)
def test_a_refused_model_is_not_and_is_not_asked_about_again(approval: Approval, sentence: str) -> None:
    candidate = make_candidate(0.5, "a")
    refused = conclude(candidate, register_model(candidate, RULE), approval, RULE)
    assert refused.verdict == "refused"
    assert refused.sentence.startswith(sentence)
    assert champion() is None
    assert refused.decision is not None
    assert [guard.name for guard in refused.decision.guards if not guard.passed] == ["approval"]
    assert version(1).tags["verdict_sentence"] == refused.sentence
    again = register_model(make_candidate(0.5, "a", run_id="another"), RULE)
    assert again.sentence == "Unchanged: this model is version 1 of practice-cnn already (refused)."


@pytest.mark.usefixtures("opened_store")
def test_a_champion_that_came_meanwhile_stands_whatever_the_person_says() -> None:
    candidate = make_candidate(0.5, "a")
    waiting = register_model(candidate, RULE)
    register(0.4, "b")
    refused = conclude(candidate, waiting, YES, RULE)
    assert refused.sentence == (
        "Not promoted: version 2 became champion while this run was waiting for approval. Run again to be compared "
        "with it."
    )
    found = champion()
    assert found is not None
    assert found.version == 2


@pytest.mark.usefixtures("opened_store")
def test_a_run_that_was_killed_after_the_promotion_says_so_the_next_time() -> None:
    candidate = make_candidate(0.5, "a")
    waiting = register_model(candidate, RULE)
    promoted = conclude(candidate, waiting, YES, RULE)
    again = conclude(candidate, waiting, YES, RULE)
    assert (again.verdict, again.ledger_entry, again.decision) == ("promoted", 1, promoted.decision)
    assert len(open_ledger(NAME).entries()) == 1


@pytest.mark.usefixtures("opened_store")
def test_the_same_model_is_asked_about_once_until_its_time_is_up() -> None:
    hasty = RULE.model_copy(update={"approval_hours": 1e-9})
    register_model(make_candidate(0.5, "a"), hasty)
    later: Candidate = make_candidate(0.5, "a", run_id="later")
    assert register_model(later, RULE).verdict == "waiting", "nobody answers the first run any more"
    other = register_model(make_candidate(0.5, "a", run_id="third"), RULE)
    assert other.verdict == "unchanged"
    assert "which waits for approval until " in other.sentence
    assert register_model(later, RULE).verdict == "waiting", "the run itself goes on, such as after a kill"


@pytest.mark.usefixtures("opened_store")
def test_who_forces_or_forbids_is_not_asked() -> None:
    forced = RegisterConfig(policy="force", require_approval=True, actor="Jane Doe", reason="a test")
    assert register(0.5, "a", rule=forced).verdict == "promoted"
    assert register(0.6, "b", rule=RegisterConfig(policy="never", require_approval=True)).verdict == "refused"


@pytest.mark.usefixtures("opened_store")
def test_a_version_that_was_deleted_meanwhile_is_not_promoted() -> None:
    candidate = make_candidate(0.5, "a")
    waiting = register_model(candidate, RULE)
    Registry()._client.delete_model_version(NAME, "1")
    with pytest.raises(RegistryError, match="gone from the registry"):
        conclude(candidate, waiting, YES, RULE)
