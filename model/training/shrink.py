"""Make a trained classifier smaller: fewer layers, narrower feed-forward blocks, a shorter vocabulary."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence

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
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    counts = Counter(number for line in tokenizer.encode_batch(list(texts)) for number in line.ids)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    always = {piece for piece in vocabulary if piece in special or len(piece.removeprefix("##")) == 1}
    if size < len(always):
        raise ModelError(f"--vocabulary must be at least {len(always)}, the special and single-character pieces")
    others = sorted(vocabulary.keys() - always, key=lambda piece: (-counts[vocabulary[piece]], vocabulary[piece]))
    kept = sorted(always | set(others[: size - len(always)]), key=lambda piece: vocabulary[piece])

    state = json.loads(tokenizer.to_str())
    new_ids = {piece: number for number, piece in enumerate(kept)}
    state["model"]["vocab"] = new_ids
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["content"]]
    for token in state["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new_ids[piece] for piece in token["tokens"]]

    rows = torch.tensor([vocabulary[piece] for piece in kept])
    old = model.distilbert.embeddings.word_embeddings
    new = torch.nn.Embedding(len(kept), old.embedding_dim, padding_idx=new_ids["[PAD]"])
    new.weight.data.copy_(old.weight.data[rows])
    model.distilbert.embeddings.word_embeddings = new
    model.config.vocab_size = len(kept)
    model.config.pad_token_id = new_ids["[PAD]"]
    return Tokenizer.from_str(json.dumps(state))
