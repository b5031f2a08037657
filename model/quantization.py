"""The quantization of an int8 export: chosen by `python -m model.export DIR --data DATA`, stored in the export."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import ModelError
from model.files import read_json

QUANTIZATION = "quantization.json"
DEFAULT_GROUP_SIZE = 64
SMOOTHINGS = (0.0, 0.3, 0.5)
"""0 leaves all outliers in the activations; 1 would move all of them into the matrices."""

_GROUP_SIZES = (64, 128, 256)
_MAX_ACCURACY_DROP = 0.005
_STEP = 16
"""The runtime supports groups of a multiple of this many channels."""


@dataclass(frozen=True)
class Fidelity:
    """int8's answers on labelled texts compared with fp32's."""

    texts: int
    accuracy: float
    accuracy_fp32: float
    flips: int
    """Texts whose highest label differs from fp32's."""
    mean_score_difference: float

    def holds(self, share: float) -> bool:
        """Whether labels differ on at most this share of the texts, and accuracy drops by at most 0.5 points."""
        drop = round(self.accuracy_fp32 - self.accuracy, 4)  # both are rounded to this
        return self.flips <= share * self.texts and drop <= _MAX_ACCURACY_DROP


@dataclass(frozen=True)
class Quantization:
    """Channels of an activation per scale, how far outliers were moved, and the measured fidelity."""

    group_size: int = DEFAULT_GROUP_SIZE
    smoothing: float = 0.0
    fidelity: Fidelity | None = None

    def write(self, folder: Path) -> None:
        """Write it into the folder of an export."""
        (folder / QUANTIZATION).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def read_quantization(folder: Path) -> Quantization:
    """The quantization of an export's folder.

    Raises:
        ModelError: the file was not written by `Quantization.write`.
    """
    file = folder / QUANTIZATION
    content = read_json(file)
    try:
        fidelity = content["fidelity"]
        group_size, smoothing = int(content["group_size"]), float(content["smoothing"])
        return Quantization(group_size, smoothing, None if fidelity is None else Fidelity(**fidelity))
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{file} is not what model.export writes; make the export again") from None


def group_sizes(dim: int) -> list[int]:
    """The group sizes to choose from, for a model that is `dim` wide: a group larger than a row is slow."""
    whole = [dim] if dim % _STEP == 0 and dim > DEFAULT_GROUP_SIZE else []
    return sorted({DEFAULT_GROUP_SIZE, *(size for size in _GROUP_SIZES if size <= dim), *whole})
