"""LitServe as in its documentation: a LitAPI around transformers' pipeline, with batching, on one worker."""

import os
import sys

import litserve as ls
from transformers import pipeline


class SentimentAPI(ls.LitAPI):
    def setup(self, device):
        model = os.environ["MODEL_DIR"]
        self.classifier = pipeline("text-classification", model, device=device, top_k=None, truncation=True)

    def decode_request(self, request):
        return request["text"]

    def predict(self, batch):
        texts = [text for request in batch for text in request]
        scores = iter(self.classifier(texts, batch_size=len(texts)) if texts else [])
        return [[next(scores) for _ in request] for request in batch]

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    api = SentimentAPI(max_batch_size=16, batch_timeout=0.01, api_path="/project/predict")
    server = ls.LitServer(api, accelerator="cpu", healthcheck_path="/project/health")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
