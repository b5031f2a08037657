"""Fetches, trains, exports and runs the model; imports nothing of serve_app."""

import sys

# OpenVINO's Python package would report each import over the network. Without this module, which must not be found
# before the first import of OpenVINO, it reports nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
