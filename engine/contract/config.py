"""Config models: every key of a recipe with its bounds, its unit and what it means. The forms are made from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engine.contract.names import Presence, Tta


def _plain_run_name(name: str) -> str:
    """A run's name leads to a folder below runs/, never out of it."""
    if not name.isprintable() or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise ValueError("give a name such as unet_a or seeds/seed_42: no leading slash or dot, no control character")
    return name


RunName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_run_name)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]

Architecture = Literal["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3",
                       "DeepLabV3Plus", "UPerNet", "Segformer"]  # fmt: skip
SelectionMetric = Literal["dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "joint", "loss"]


class Section(BaseModel):
    """A part of a config: unknown keys are refused, values are never changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """The images, and how they reach the network."""

    manifest: str = Field("data/manifest.csv", min_length=1, description="CSV with id, image, mask, fractured, split")
    image_size: int = Field(256, ge=32, le=2048, multiple_of=32, description="side of the network's input, pixels")
    keep_aspect: bool = Field(False, description="fit into the square and pad, instead of stretching to it")
    workers: int | None = Field(
        None, ge=0, le=64, description="loader processes; empty: none on a CPU, up to 8 for a GPU"
    )
    cache: bool = Field(True, description="keep decoded, resized images in one memory-mapped file beside the manifest")


class ClassificationHeadConfig(Section):
    """A head on the encoder's last features that says whether there is a fracture at all."""

    hidden: int = Field(128, ge=0, le=4096, description="width of the hidden layer; 0: none")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout before the last layer")


class ModelConfig(Section):
    """A segmentation-models-pytorch network by name and encoder, with or without a classification head."""

    arch: Architecture = Field("Unet", description="network, by its segmentation-models-pytorch name")
    encoder: str = Field(
        "resnet18",
        min_length=1,
        max_length=100,
        description="encoder, by its segmentation-models-pytorch name; timm's as tu-NAME",
        examples=[
            "resnet18",
            "resnet34",
            "resnet50",
            "efficientnet-b0",
            "tu-tf_efficientnet_lite0",
            "tu-convnext_tiny",
        ],
    )
    encoder_weights: str | None = Field(
        None,
        description="imagenet (from the hub), efficientnet-lite0 (from its package), a file, or empty: from scratch",
        examples=["imagenet", "efficientnet-lite0"],
    )
    in_channels: Literal[1, 3] = Field(3, description="grey images are repeated to this many channels")
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=1024)], ...] | None = Field(
        None, min_length=3, max_length=5, description="channels of a U-shaped decoder, deepest first; empty: smp's own"
    )
    classification_head: ClassificationHeadConfig | None = Field(None, description="the second head; empty: none")


class LossConfig(Section):
    """bce * BCE + dice * Dice (positive images only) + presence * BCE of the classification head."""

    bce: float = Field(0.3, ge=0.0, le=100.0, description="weight of the pixel BCE, over all images")
    dice: float = Field(0.7, ge=0.0, le=100.0, description="weight of the soft Dice loss, per image, on positives only")
    pos_weight: float = Field(3.0, gt=0.0, le=1000.0, description="weight of fracture pixels inside the BCE")
    presence: float = Field(0.35, ge=0.0, le=100.0, description="weight of the presence BCE; needs the second head")
    presence_ramp_epochs: float = Field(
        0.0, ge=0.0, le=1000.0, description="epochs over which the presence weight grows from 0"
    )


class AugmentConfig(Section):
    """Random changes of training images; all at zero: none."""

    hflip: Probability = Field(0.5, description="chance of a horizontal flip")
    vflip: Probability = Field(0.0, description="chance of a vertical flip")
    rotate: float = Field(15.0, ge=0.0, le=180.0, description="rotation up to ± this, degrees")
    scale: float = Field(0.1, ge=0.0, le=0.9, description="zoom by up to ± this share")
    translate: float = Field(0.05, ge=0.0, le=0.5, description="shift by up to this share of the side")
    brightness: float = Field(0.2, ge=0.0, le=1.0, description="brightness by up to ± this share")
    contrast: float = Field(0.2, ge=0.0, le=1.0, description="contrast by up to ± this share")
    blur: Probability = Field(0.0, description="chance of a slight Gaussian blur")
    noise: float = Field(0.0, ge=0.0, le=0.5, description="sigma of Gaussian noise, of the full grey range")


class TrainingConfig(Section):
    """The loop: how long, how fast, and which checkpoint is the best."""

    epochs: int = Field(20, ge=1, le=10_000, description="passes")
    batch_size: int = Field(16, ge=1, le=4096, description="images a step")
    lr: float = Field(3e-4, gt=0.0, le=10.0, description="highest learning rate (AdamW)")
    encoder_lr: float | None = Field(None, gt=0.0, le=10.0, description="the encoder's own; empty: the same")
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0, description="AdamW's weight decay")
    warmup_epochs: float = Field(1.0, ge=0.0, le=1000.0, description="linear warm-up before the cosine, epochs")
    final_lr_ratio: Probability = Field(0.01, description="learning rate at the end, as a share of the highest")
    samples_per_epoch: int | None = Field(
        None, ge=1, le=10_000_000, description="images an epoch; empty: as many as the training split has"
    )
    positive_share: float | None = Field(
        0.5, gt=0.0, lt=1.0, description="share of positives that is drawn (balanced sampling); empty: each image once"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the processor has it; fp16 needs CUDA"
    )
    channels_last: bool = Field(True, description="NHWC memory layout: several times faster on CPUs and tensor cores")
    grad_clip: float | None = Field(None, gt=0.0, le=1000.0, description="largest gradient norm; empty: no clipping")
    selection_metric: SelectionMetric = Field(
        "dice_pos", description="what the best checkpoint is best in, on validation; joint: dice_pos + roc_auc_presence"
    )


class TrainConfig(Section):
    """A recipe for one network."""

    kind: Literal["train"] = "train"
    name: RunName | None = Field(None, description="the run's name; empty: the file's")
    description: str = Field("", max_length=500, description="one line: what this recipe is")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="seed of everything that is random")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    training: TrainingConfig = TrainingConfig()


class BlendConfig(Section):
    """A blend: its members and the grid on which validation chooses."""

    kind: Literal["blend"] = "blend"
    name: RunName | None = Field(None, description="the run's name; empty: made from members")
    description: str = Field("", max_length=500, description="one line: what this blend is")
    members: tuple[str, ...] = Field((), max_length=16, description="run folders, two or more")
    tta: Tta = Field("hv", description="views that are averaged")
    weight_step: float = Field(0.1, ge=0.01, le=0.5, description="step of the grid of segmentation weights")
    threshold_step: float = Field(0.01, ge=0.005, le=0.2, description="step of the grid of thresholds")
    presence_sources: tuple[Literal["cls", "max", "mean", "topk_mean", "pred_area"], ...] = Field(
        ("cls", "max", "topk_mean", "pred_area"), min_length=1, description="presence sources that may be chosen"
    )
    objective: Literal["joint", "dice_pos", "roc_auc_presence"] = Field(
        "joint", description="what is maximised on validation; joint: dice_pos + roc_auc_presence"
    )
    bootstrap: int = Field(1000, ge=0, le=100_000, description="resamples behind each interval; 0: none")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="seed of the bootstrap")


class EvaluateOptions(Section):
    """The choices of `xray-engine evaluate`, as a model, so that a form can be made of it."""

    run: str = Field(..., min_length=1, description="the run folder")
    tta: Tta = Field("hv", description="views that are averaged")
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["tuned"] = Field(
        "tuned", description="a number between 0 and 1, or tuned: on validation"
    )
    presence: Presence = Field(
        "auto", description="where the presence score comes from; auto: the second head, else best on validation"
    )
    gate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["none", "tuned"] = Field(
        "none", description="presence score under which a mask is emptied; tuned: on validation"
    )
    checkpoint: Literal["best", "last"] = Field("best", description="which checkpoint")
    batch_size: int = Field(16, ge=1, le=4096, description="images a step")
    bootstrap: int = Field(1000, ge=0, le=100_000, description="resamples behind each interval; 0: none")


Config = TrainConfig | BlendConfig
KINDS: dict[str, type[TrainConfig] | type[BlendConfig]] = {"train": TrainConfig, "blend": BlendConfig}
