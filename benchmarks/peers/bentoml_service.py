"""BentoML as in its documentation: a service around transformers' pipeline, with adaptive batching.

A batchable endpoint answers with a bare list, one entry for each text.
"""

import os

import bentoml
from transformers import pipeline


@bentoml.service
class Sentiment:
    def __init__(self) -> None:
        model = os.environ["MODEL_DIR"]
        self.classifier = pipeline("text-classification", model, device="cpu", top_k=None, truncation=True)

    @bentoml.api(batchable=True, route="/project/predict")
    def predict(self, text: list[str]) -> list[list[dict[str, str | float]]]:
        return self.classifier(text, batch_size=len(text))
