"""All sections together. Only flows import this: a room sees its own section and no other."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.evaluate.config import EvaluateConfig
from tasks.ingest.config import IngestConfig
from tasks.preprocess.config import PreprocessConfig
from tasks.register.config import RegisterConfig
from tasks.report.config import ReportConfig
from tasks.train.config import TrainConfig
from tasks.validate.config import ValidateConfig


class Sections(BaseModel):
    """One section a step, by the step's name. Two have an underscore: pydantic's models have methods of those names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ingest: IngestConfig = Field(IngestConfig(), description="Where images come from.")
    validate_: ValidateConfig = Field(ValidateConfig(), alias="validate", description="Which data may be trained on.")
    preprocess: PreprocessConfig = Field(PreprocessConfig(), description="How the images are split.")
    train: TrainConfig = Field(TrainConfig(), description="What is trained.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="How the model is scored.")
    register_: RegisterConfig = Field(
        RegisterConfig(), alias="register", description="How the model is registered and promoted."
    )
    report: ReportConfig = Field(ReportConfig(), description="What the report shows.")

    def by_step(self) -> dict[str, BaseModel]:
        """The sections by the names of their steps, which are the flow's parameters."""
        return {field.alias or name: getattr(self, name) for name, field in Sections.model_fields.items()}
