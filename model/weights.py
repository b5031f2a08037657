"""The tensors of a checkpoint in safetensors, in one file or in shards, as fp32."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from model.errors import ModelError
from model.files import is_file, read_json, refuse_pointer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")
_OTHER_FORMATS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_CONVERT = "from transformers import AutoModelForSequenceClassification as M; M.from_pretrained(d).save_pretrained(d)"


def weight_files(directory: Path) -> list[Path]:
    """The files with the weights: one safetensors file, or an index followed by its shards.

    Raises:
        ModelError: there are none, or a shard is missing.
    """
    if is_file(directory / WEIGHTS):
        return [directory / WEIGHTS]
    if is_file(directory / INDEX):
        return [directory / INDEX, *_shards(directory)]
    for other in _OTHER_FORMATS:
        if (directory / other).exists():
            raise ModelError(
                f"{directory} has {other} and no {WEIGHTS}; weights are loaded from safetensors only. With torch and"
                f" transformers this converts it: python -c \"d = '{directory}'; {_CONVERT}\""
            )
    raise ModelError(f"{directory} has no {WEIGHTS}; weights are loaded from safetensors only")


def _shards(directory: Path) -> list[Path]:
    index = directory / INDEX
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{index} has no weight_map from tensors to files; save or fetch the model again")
    shards = []
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise ModelError(f"{index} names a file outside the directory; save or fetch the model again")
        if not is_file(directory / name):
            raise ModelError(f"{directory / name} is missing, although {INDEX} names it; fetch the model again")
        shards.append(directory / name)
    return shards


class Weights:
    """The tensors that a model needs, by name; each is read on access."""

    def __init__(self, directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Find each of `shapes` (name -> shape) in the directory's files; only their headers are read.

        Raises:
            ModelError: a file cannot be read, or a tensor is missing, has another shape, or is quantized.
        """
        self._places: dict[str, Path] = {}
        found: dict[str, tuple[list[int], str]] = {}
        for file in weight_files(directory):
            if file.name == INDEX:
                continue
            for name, entry in _header(file).items():
                self._places[name] = file
                found[name] = entry
        for name, shape in shapes.items():
            if name not in found:
                raise ModelError(
                    f"the weights in {directory} have no {name}, which a DistilBERT sequence classifier has; train it,"
                    " or, if its tensors only have other names, save it again with transformers (save_pretrained)"
                )
            actual, kind = found[name]
            if tuple(actual) != shape:
                raise ModelError(
                    f"{name} in {self._places[name]} has the shape {tuple(actual)}, and config.json says {shape};"
                    " save both from one model"
                )
            if kind not in _FLOATS:
                raise ModelError(
                    f"{name} in {self._places[name]} is stored as {kind}; only floats are served, save it as those"
                )

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor in fp32, which is exact for all but 64-bit floats.

        Raises:
            ModelError: a value is not a finite number, as after a training that diverged.
        """
        file = self._places[name]
        with _opened(file) as tensors:
            if tensors.get_slice(name).get_dtype() == "BF16":
                values = _bfloat16(file, name)
            else:
                with np.errstate(over="ignore"):  # too large values become infinity, and are refused below
                    values = np.asarray(tensors.get_tensor(name), np.float32)
        if not np.isfinite(values).all():
            raise ModelError(f"{name} in {file} has values that are not finite numbers; train or fetch the model again")
        return values


def _header(file: Path) -> dict[str, tuple[list[int], str]]:
    """Each tensor's shape and type."""
    with _opened(file) as tensors:
        slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118  (it is no dictionary)
        return {name: (part.get_shape(), part.get_dtype()) for name, part in slices.items()}


def _opened(file: Path) -> Any:
    refuse_pointer(file)
    try:
        return safe_open(file, framework="np")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} cannot be read as safetensors ({error}); fetch or save it again") from None


def _bfloat16(file: Path, name: str) -> NDArray[np.float32]:
    """A bfloat16 tensor, which numpy has no type for: the upper halves of 32-bit floats. `file` is checked before."""
    with file.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
        entry = json.loads(content.read(size))[name]
        content.seek(8 + size + entry["data_offsets"][0])
        halves = np.fromfile(content, "<u2", (entry["data_offsets"][1] - entry["data_offsets"][0]) // 2)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
