"""Request and response models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from serve_app.settings import Settings


class PredictRequest(BaseModel):
    """Texts to predict; `predict_request` makes a subclass with the limits of the settings."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    text: list[str]


class LabelScore(BaseModel):
    """A label of the model and its score."""

    label: str
    score: Annotated[float, Field(ge=0, le=1)]


class PredictResponse(BaseModel):
    """For each text, in order, every label of the model (see `GET /project/model`), the highest score first."""

    predictions: list[Annotated[list[LabelScore], Field(min_length=1)]]


class Health(BaseModel):
    """`healthy` only while a prediction through the model has succeeded in the last seconds."""

    status: str
    reason: str | None = None


class ModelCard(BaseModel):
    """The model that answers."""

    name: str
    revision: str | None
    fingerprint: str
    precision: str
    labels: list[str] = Field(description="In the order of the model's outputs.")
    max_tokens: int
    accuracy: float | None = Field(description="Measured on labelled texts by `python -m model.evaluate --write`.")
    problem_type: Literal["multi_label_classification"] | None = Field(
        None, description="Present only if each score stands alone; otherwise a text's scores add up to 1."
    )


def predict_request(settings: Settings) -> type[PredictRequest]:
    """The request model with the settings' limits, as OpenAPI shows them."""
    text = Annotated[str, Field(max_length=settings.max_text_chars)]
    texts = Annotated[
        list[text],
        Field(
            max_length=settings.max_texts,
            description="Texts to predict; a text of more than the model's max_tokens is truncated, see X-Truncated.",
            examples=[["example 1", "example 2"]],
        ),
    ]
    return create_model("PredictRequest", __base__=PredictRequest, text=(texts, ...))
