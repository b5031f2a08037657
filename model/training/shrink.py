"""Make a trained classifier smaller: fewer layers, narrower feed-forward blocks, a shorter vocabulary."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import DistilBertForSequenceClassification

from model.errors import ModelError


def keep_layers(model: DistilBertForSequenceClassification, layers: Sequence[int]) -> None:
    """Keep only the transformer layers with these numbers, in this order."""
    have = model.distilbert.transformer.layer
    if not layers or not all(0 <= number < len(have) for number in layers):
        raise ModelError(f"--layers must name layers from 0 to {len(have) - 1}")
    model.distilbert.transformer.layer = torch.nn.ModuleList(copy.deepcopy(have[number]) for number in layers)
    model.config.n_layers = len(layers)


def narrow_feed_forward(model: DistilBertForSequenceClassification, hidden_dim: int) -> None:
    """Keep the `hidden_dim` strongest neurons of each feed-forward block, by the product of their weights' norms."""
    if not 0 < hidden_dim <= model.config.hidden_dim:
        raise ModelError(f"--hidden-dim must be from 1 to {model.config.hidden_dim}")
    for layer in model.distilbert.transformer.layer:
        into, out = layer.ffn.lin1, layer.ffn.lin2
        strength = into.weight.norm(dim=1) * out.weight.norm(dim=0)
        kept = strength.topk(hidden_dim).indices.sort().values
        into.weight.data, into.bias.data = into.weight.data[kept].clone(), into.bias.data[kept].clone()
        out.weight.data = out.weight.data[:, kept].clone()
        into.out_features = out.in_features = hidden_dim
    model.config.hidden_dim = hidden_dim


def cut_vocabulary(
    model: DistilBertForSequenceClassification, tokenizer: Tokenizer, texts: Sequence[str], size: int
) -> Tokenizer:
    """Keep the `size` word pieces that `texts` use most, and return the tokenizer that knows them.

    Special tokens and every single-character piece stay whatever their count, so a word that
    loses its piece is spelled by shorter ones and no text becomes unknown that was not before.
    """
    state = json.loads(tokenizer.to_str())
    if state["model"].get("type") != "WordPiece":
        raise ModelError(f"--vocabulary cuts WordPiece vocabularies, not {state['model'].get('type')}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    counts = Counter(number for line in tokenizer.encode_batch(list(texts)) for number in line.ids)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    padding = tokenizer.id_to_token(model.config.pad_token_id) if model.config.pad_token_id is not None else None
    special |= {state["model"]["unk_token"], padding} & vocabulary.keys()
    prefix = state["model"]["continuing_subword_prefix"]
    always = {piece for piece in vocabulary if piece in special or len(piece.removeprefix(prefix)) == 1}
    if size < len(always):
        raise ModelError(f"--vocabulary must be at least {len(always)}, the special and single-character pieces")
    others = sorted(vocabulary.keys() - always, key=lambda piece: (-counts[vocabulary[piece]], vocabulary[piece]))
    kept = sorted(always | set(others[: size - len(always)]), key=lambda piece: vocabulary[piece])

    new_ids = {piece: number for number, piece in enumerate(kept)}
    state["model"]["vocab"] = new_ids
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["content"]]
    _renumber(state["post_processor"], new_ids)

    rows = torch.tensor([vocabulary[piece] for piece in kept])
    old = model.distilbert.embeddings.word_embeddings
    new = torch.nn.Embedding(len(kept), old.embedding_dim, padding_idx=new_ids.get(padding or ""))
    new.weight.data.copy_(old.weight.data[rows])
    model.distilbert.embeddings.word_embeddings = new
    model.config.vocab_size = len(kept)
    model.config.pad_token_id = new_ids.get(padding or "")
    return Tokenizer.from_str(json.dumps(state))


def _renumber(processor: dict[str, Any] | None, new_ids: dict[str, int]) -> None:
    """Give the special tokens that a post-processor of any kind adds their new numbers."""
    if processor is None:
        return
    for each in processor.get("processors", []):
        _renumber(each, new_ids)
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [new_ids[piece] for piece in token["tokens"]]
    for end in ("sep", "cls"):
        if end in processor:
            processor[end] = [processor[end][0], new_ids[processor[end][0]]]
