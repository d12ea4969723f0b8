# The search page with the sample collection; docs/DEPLOYMENT.md says how to use it with your own.
#
# VARIANT      cpu, or cuda for NVIDIA's GPUs: PyTorch's wheels bring CUDA along, the host has the driver
# TORCH_INDEX  where PyTorch is taken from, if not from pip's index; that of its CPU wheels saves some gigabytes
# EXTRAS       those of pyproject.toml, between commas
ARG VARIANT=cpu

FROM python:3.12-slim AS base
ARG TORCH_INDEX=""
ARG EXTRAS="parquet"
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY search search
COPY indexer indexer
COPY web web
COPY data/model data/model
COPY data/sample data/sample
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --constraint constraints.txt --index-url "$TORCH_INDEX" torch torchvision; \
    fi \
    && pip install --no-cache-dir --constraint constraints.txt --editable ".[$EXTRAS]"
RUN useradd --create-home searcher \
    && mkdir -p data/collections data/cache /collections \
    && chown -R searcher data/collections data/cache /collections
USER searcher
RUN python -m indexer build data/sample --model bundled --device cpu --collection data/collections/sample

FROM base AS cpu
ENV IMAGE_SEARCH_DEVICE=cpu

FROM base AS cuda
ENV IMAGE_SEARCH_DEVICE=auto NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${VARIANT}
ENV IMAGE_SEARCH_COLLECTION=/app/data/collections/sample
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/v1/health')"]
CMD ["python", "-m", "web", "--host", "0.0.0.0"]
