"""The Prefect tasks of the sixth step: the verdict and, where it waits for a person's word, what comes of that."""

from prefect import task

from tasks import policies
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.values.decision import Approval
from tasks.values.registration import Registration


@task(name="register", task_run_name="register {candidate.model.result.recipe}", **policies.uncached())
def register(candidate: Candidate, config: RegisterConfig) -> Registration:
    """Record the model in the registry and promote it if it earned that; a refusal is a result, not a failure."""
    # MLflow takes a second to import and belongs to this step alone.
    from tasks.register.registration import register_model

    return register_model(candidate, config)


@task(name="register", task_run_name="register, {approval.in_words}", **policies.uncached())
def conclude(candidate: Candidate, waiting: Registration, approval: Approval, config: RegisterConfig) -> Registration:
    """Do what a person has said of a model that waited for their word; a refusal is a result, not a failure."""
    from tasks.register import registration

    return registration.conclude(candidate, waiting, approval, config)
