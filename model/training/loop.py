"""The training loop: supervised on labels, or distilled from a teacher's answers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch.nn import functional
from transformers import DistilBertForSequenceClassification

from model.data import length_grouped


@dataclass(frozen=True)
class Options:
    """How to train; `learning_rate` is the peak of a schedule with 6 % warm-up and linear decay."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Examples:
    """Token ids of n texts, and the index of each one's label."""

    ids: list[list[int]]
    labels: list[int]


@dataclass(frozen=True)
class Answers:
    """A model's answers for n texts: `logits` (n, 2) and the first token's last hidden state `hidden` (n, dim)."""

    logits: torch.Tensor
    hidden: torch.Tensor


def answers(
    model: DistilBertForSequenceClassification, ids: Sequence[Sequence[int]], progress: Progress, title: str
) -> Answers:
    """Run every text through `model` in bf16, longest first, and return the answers in the order of `ids`."""
    model.eval()
    order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    logits = torch.empty(len(ids), 2)
    hidden = torch.empty(len(ids), model.config.dim)
    task = progress.add_task(title, total=len(order))
    with torch.inference_mode():
        for start in range(0, len(order), 128):
            batch = order[start : start + 128]
            logits[batch], hidden[batch] = (part.float() for part in _forward(model, [ids[index] for index in batch]))
            progress.advance(task, len(batch))
    return Answers(logits, hidden)


def accuracy(said: Answers, labels: Sequence[int]) -> float:
    """Share of texts whose higher logit is the label's."""
    return float((said.logits.argmax(dim=1) == torch.tensor(labels)).float().mean())


def train(
    model: DistilBertForSequenceClassification,
    texts: Examples,
    dev: Examples,
    teacher: Answers | None,
    options: Options,
    progress: Progress,
    on_best: Callable[[int, float], None],
) -> bool:
    """Train `model` in place; after each epoch that is the best on `dev` so far, call `on_best(epoch, accuracy)`.

    Returns False if a loss or an answer was not finite, which ends the training, since all later ones would be too.
    With a `teacher`, the model learns its logits and hidden states, and the labels are a third target of less weight:
    hidden states carry much more of each text than two logits do (as in MiniLM and TinyBERT).
    """
    rng = random.Random(options.seed)  # noqa: S311  (shuffling, not secrets)
    torch.manual_seed(options.seed)
    ids = texts.ids
    labels = torch.tensor(texts.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=0.01)
    steps = options.epochs * -(-len(ids) // options.batch_size)
    warmup = max(1, steps * 6 // 100)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.0, (steps - step) / (steps - warmup or 1)))
    )
    best = -1.0
    for epoch in range(1, options.epochs + 1):
        model.train()
        task = progress.add_task(f"epoch {epoch}/{options.epochs}", total=len(ids))
        for batch in length_grouped([len(line) for line in ids], options.batch_size, rng):
            logits, hidden = _forward(model, [ids[index] for index in batch])
            loss = functional.cross_entropy(logits.float(), labels[batch])
            if teacher is not None:
                loss = 0.2 * loss + _distance(logits.float(), hidden.float(), teacher, batch)
            if not math.isfinite(loss.item()):
                progress.console.print(f"epoch {epoch}: the loss is not finite")
                return False
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.advance(task, len(batch))
        said = answers(model, dev.ids, progress, f"dev after epoch {epoch}")
        if not said.logits.isfinite().all():
            progress.console.print(f"epoch {epoch}: the answers on dev are not finite")
            return False
        score = accuracy(said, dev.labels)
        progress.console.print(f"epoch {epoch}: accuracy on dev {score:.4f}")
        if score > best:
            best = score
            on_best(epoch, score)
    return True


def _distance(logits: torch.Tensor, hidden: torch.Tensor, teacher: Answers, batch: Sequence[int]) -> torch.Tensor:
    index = torch.tensor(batch)
    soft = functional.kl_div(
        functional.log_softmax(logits / 2, dim=1),
        functional.log_softmax(teacher.logits[index] / 2, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return 4 * soft + functional.mse_loss(hidden, teacher.hidden[index])


def _forward(
    model: DistilBertForSequenceClassification, ids: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, ids))
    tokens = torch.tensor([[*line, *[0] * (width - len(line))] for line in ids])
    mask = torch.tensor([[1] * len(line) + [0] * (width - len(line)) for line in ids])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.distilbert(input_ids=tokens, attention_mask=mask).last_hidden_state[:, 0]
        pooled = model.dropout(torch.relu(model.pre_classifier(hidden)))
        return model.classifier(pooled), hidden
