# The service with its model baked in: no network, no build tools and no root at run time.
#
#   docker build -t project:dev .                        the production model, from its hub: the one that model/pin.json
#                                                        pins, or without that file the newest; the build then says "not pinned"
#   docker build -t project:dev --build-arg MODEL=mini . the embedded model, no hub
#   docker run --rm -p 8000:8000 project:dev
#
# PIP_FIND_LINKS and PIP_EXTRA_INDEX_URL are for machines with wheels or a mirror of their own.

FROM python:3.11-slim AS packages
ARG PIP_FIND_LINKS=
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt /tmp/requirements.txt
RUN python -m pip --python /opt/venv/bin/python install --require-hashes --no-compile -r /tmp/requirements.txt
# Cut what a CPU node never opens: plugins for other devices, readers of other model formats, headers, Ray's C++
# and Java interfaces. compileall ends in an error for template files that are no Python, which does no harm.
RUN cd /opt/venv/lib/python3.11/site-packages \
 && rm -rf openvino/include openvino/cmake ray/cpp ray/jars ray/rllib \
 && rm -f openvino/libs/libopenvino_intel_gpu_* openvino/libs/libopenvino_intel_npu_* \
 && find openvino/libs -name '*_frontend.so*' ! -name '*_ir_frontend*' -delete \
 && { python -m compileall -q -j 0 . || true; }

FROM packages AS model
ARG MODEL=winegarj/distilbert-base-uncased-finetuned-sst2
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY model model
# A model with other labels than the calibration texts is exported without them.
RUN mkdir -p models \
 && if [ "$MODEL" = mini ]; then cp -r model/mini models/mini; else python -m model.fetch "$MODEL"; fi \
 && name=$(basename "$MODEL") \
 && { python -m model.export "models/$name" --data model/calibration || python -m model.export "models/$name"; } \
 && ln -s "$name" models/served \
 && chmod -R a+rX models

FROM python:3.11-slim AS service
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BIND=0.0.0.0 \
    SENTIMENT_MODEL_DIR=/app/models/served \
    RAY_USAGE_STATS_ENABLED=0 \
    TOKENIZERS_PARALLELISM=false
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY serve_config.yaml ./
COPY model model
COPY serve_app serve_app
RUN rm -rf model/mini model/calibration && python -m compileall -q model serve_app
COPY --from=model /app/models models
# A number, so that Kubernetes can see that it is not root.
USER 1000:1000
EXPOSE 8000
# One Ray node with everything in it, Serve in HAProxy mode. KubeRay gives its own command, and the manifests the mode.
CMD ["python", "-m", "serve_app.local", "--log", "/tmp/serve.log"]

# For `python -m serve_app.score` on Parquet, zstd and object stores: docker build --target score -t project-score:dev .
FROM packages AS score-packages
COPY requirements-score.txt /tmp/requirements-score.txt
RUN python -m pip install --require-hashes --no-compile --target /opt/score -r /tmp/requirements-score.txt \
 && python -m compileall -q -j 0 /opt/score

FROM service AS score
COPY --from=score-packages /opt/score /opt/venv/lib/python3.11/site-packages

# What is built without a target.
FROM service
