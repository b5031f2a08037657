"""The reference: the plain stack that people run today, as in its documentation.

FastAPI on one uvicorn worker, fastapi-cache2 on Redis, transformers' pipeline in fp32.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache
from pydantic import BaseModel, ConfigDict
from redis import asyncio as aioredis
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

model_path = os.environ["MODEL_DIR"]
classifier = pipeline(
    task="text-classification",
    model=AutoModelForSequenceClassification.from_pretrained(model_path, dtype="float32"),
    tokenizer=AutoTokenizer.from_pretrained(model_path),
    device="cpu",
    top_k=None,
    truncation=True,
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    FastAPICache.init(RedisBackend(aioredis.from_url(os.environ["REDIS_URL"])), prefix="fastapi-cache-reference")
    yield


app = FastAPI(lifespan=lifespan, strict_content_type=False)


class SentimentRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: list[str]


class Sentiment(BaseModel):
    label: str
    score: float


class SentimentResponse(BaseModel):
    predictions: list[list[Sentiment]]


@app.get("/project/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/project/predict", response_model=SentimentResponse)
@cache(expire=3600)
async def predict(sentiments: SentimentRequest) -> dict[str, object]:
    return {"predictions": classifier(sentiments.text)}
