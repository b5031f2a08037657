"""Figures that others have published for the same kind of model."""

from __future__ import annotations

INFINITY = {"1x8": 248, "1x16": 212, "1x32": 150, "1x64": 97, "1x128": 55, "1x512": 12}
"""Requests a second of Hugging Face Infinity: DistilBERT, one text a request, 2 physical cores, by length in tokens."""

INFINITY_SOURCE = (
    "[Hugging Face Infinity](https://huggingface.co/blog/infinity-cpu-performance) was measured by its makers"
    " in January 2022 on 2 physical cores of an Ice Lake Xeon (EC2 C6i), with DistilBERT"
)
