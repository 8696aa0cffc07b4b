"""What may be configured besides the pruning itself, and within which ranges.

The fields carry no defaults: the values live in `conf/`, where users look for them.
"""

from dataclasses import dataclass
from pathlib import Path

from pruneplug.command.settings.checks import (
    require,
    require_count,
    require_counts,
    require_fraction,
    require_positive,
)
from pruneplug.tracking.locations import refuse_password

RESUME_WORDS = ("auto", "never")


@dataclass
class ModelSettings:
    """Which network is trained; one subclass for each file of `conf/model`."""

    name: str


@dataclass
class MlpSettings(ModelSettings):
    """A fully connected network."""

    hidden: list[int]
    """Units of each hidden layer."""
    dropout: float
    """Share of each hidden layer's outputs dropped in training, in [0, 1)."""

    def __post_init__(self) -> None:
        require_counts("model.hidden", self.hidden)
        require_fraction("model.dropout", self.dropout)


@dataclass
class CnnSettings(ModelSettings):
    """A small convolutional network."""

    filters: list[int]
    """Filters of each convolution."""
    hidden: int
    """Units of the dense layer behind the convolutions."""
    dropout: float
    """Share of that layer's inputs dropped in training, in [0, 1)."""

    def __post_init__(self) -> None:
        require_counts("model.filters", self.filters)
        require_count("model.hidden", self.hidden)
        require_fraction("model.dropout", self.dropout)


@dataclass
class ResnetSettings(ModelSettings):
    """A small residual network."""

    filters: list[int]
    """Filters of each stage; at least one stage."""
    blocks: int
    """Residual blocks in every stage."""

    def __post_init__(self) -> None:
        require(bool(self.filters), "model.filters", "name at least one stage", self.filters)
        require_counts("model.filters", self.filters)
        require_count("model.blocks", self.blocks)


@dataclass
class SavedSettings(ModelSettings):
    """A model read from a `.keras` file."""

    path: str


@dataclass
class DataSettings:
    """Which data set is used; one subclass for each file of `conf/data`."""

    name: str
    validation: float
    """Share of the training examples set aside for validation, in (0, 1)."""

    def __post_init__(self) -> None:
        fits = 0 < self.validation < 1
        require(fits, "data.validation", "lie between 0 and 1", self.validation)


@dataclass
class DigitsSettings(DataSettings):
    """The 1,797 bundled 8x8 digits of scikit-learn."""


@dataclass
class FashionMnistSettings(DataSettings):
    """Fashion-MNIST: 70,000 images of 28x28."""

    path: str | None
    """Folder with the four IDX .gz files; None: where Debian's package puts them."""


@dataclass
class NpzSettings(DataSettings):
    """Arrays `x_train, y_train, x_test, y_test` of a NumPy .npz file."""

    path: str
    scale: float | None
    """Factor on the inputs; None: 1/255 for bytes, 1 for anything else."""


@dataclass
class OptimizerSettings:
    """Which optimizer is used; one subclass for each file of `conf/optimizer`."""

    name: str
    learning_rate: float

    def __post_init__(self) -> None:
        require_positive("optimizer.learning_rate", self.learning_rate)


@dataclass
class AdamSettings(OptimizerSettings):
    """Adam."""


@dataclass
class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent."""

    momentum: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("optimizer.momentum", self.momentum)


@dataclass
class AdamWSettings(OptimizerSettings):
    """Adam with decoupled weight decay."""

    weight_decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.weight_decay >= 0
        require(fits, "optimizer.weight_decay", "be at least 0", self.weight_decay)


@dataclass
class TrainerSettings:
    """How long and in which pieces the network is trained."""

    epochs: int | None
    batch_size: int
    checkpoint_steps: int | None
    """Steps between two checkpoints; None: the end of each epoch."""
    checkpoint_minutes: float | None
    """Minutes after which a checkpoint is due too; None: never."""
    keep_checkpoints: int
    """Newest checkpoints to keep, besides the best."""
    keep_minutes: float | None
    """One checkpoint in so many minutes is kept for good; None: none."""
    resume: str
    """auto: go on from the run folder's last checkpoint; never; or a checkpoint's path."""
    force_resume: bool
    """Resume in spite of other settings, and take what fits."""
    deterministic: bool
    """Use the same order of additions every time, on a GPU too."""

    def __post_init__(self) -> None:
        if self.epochs is not None:
            require_count("trainer.epochs", self.epochs)
        require_count("trainer.batch_size", self.batch_size)
        require_count("trainer.keep_checkpoints", self.keep_checkpoints)
        if self.checkpoint_steps is not None:
            require_count("trainer.checkpoint_steps", self.checkpoint_steps)
        for name in ("checkpoint_minutes", "keep_minutes"):
            minutes = getattr(self, name)
            require(minutes is None or minutes > 0, f"trainer.{name}", "be above 0", minutes)
        known = self.resume in RESUME_WORDS or Path(self.resume).exists()
        require(known, "trainer.resume", "be auto, never or an existing path", self.resume)


@dataclass
class TrackingSettings:
    """Where metrics and results go besides the run folder."""

    name: str


@dataclass
class MlflowSettings(TrackingSettings):
    """An MLflow store, fed from the run's journal."""

    uri: str | None
    """Store or server; None: MLFLOW_TRACKING_URI, else `mlflow.db` in the working directory."""
    experiment: str | None
    """Its name for comparable runs; None: MLFLOW_EXPERIMENT_NAME, else `pruneplug`."""
    log_model: bool
    """Whether the stripped model is logged in MLflow's format too, ready to be served."""
    system_metrics: bool
    """Whether CPU and memory use are recorded at the end of each epoch."""

    def __post_init__(self) -> None:
        refuse_password("tracking.uri", self.uri or "")
