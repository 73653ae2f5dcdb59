# Two images: `cpu` (the default, the last one here) and `cuda`.
#
#   docker build --target cpu -t inferneo .
#   docker build --target cuda -t inferneo:cuda .
#   docker run --rm -p 8080:8080 -v ./models:/models:ro inferneo serve --model minilm=/models/minilm
#
# To take a binary that was built outside (for an equal or older C library), and no Rust image:
#   --build-arg RUST=debian:bookworm-slim --build-arg BINARY=target/release/inferneo
# PIP_INDEX_URL and PIP_CERT are pip's own settings, for those who fetch through a mirror.

ARG DEBIAN=debian:bookworm-slim
ARG RUST=rust:1.95-slim-bookworm

# The program.
FROM ${RUST} AS binary
ARG BINARY=""
WORKDIR /build
COPY . .
RUN if [ -z "$BINARY" ]; then cargo build --locked --release && BINARY=target/release/inferneo; fi \
    && install -D -m 755 "$BINARY" /out/usr/local/bin/inferneo \
    && install -D -m 644 LICENSE /out/usr/share/doc/inferneo/LICENSE \
    && install -D -m 644 docker/inferneo.toml /out/etc/inferneo/inferneo.toml \
    && install -d /out/models

# Python, to fetch wheels by their hashes; nothing of it is in the images.
FROM ${DEBIAN} AS python
RUN apt-get update && apt-get install -qy --no-install-recommends python3-pip
COPY docker/unpack.py docker/cuda.txt scripts/downloads.txt /build/
# The wheels are not run here: one version of Python stands for all, as their hashes are listed for it.
ENV DOWNLOAD="python3 -m pip download --no-deps --require-hashes --only-binary=:all: --implementation cp --python-version 3.12"

FROM python AS runtime-cuda
ARG PIP_INDEX_URL=""
ARG PIP_CERT=""
RUN $DOWNLOAD -d /wheels -r /build/cuda.txt \
    && python3 /build/unpack.py /wheels /out/opt/onnxruntime/lib /out/usr/share/doc/inferneo && rm -r /wheels

FROM python AS runtime-cpu
ARG PIP_INDEX_URL=""
ARG PIP_CERT=""
# ONNX Runtime's lines of the list that the tests use, and no other's.
RUN sed -n '/^onnxruntime==/,/[^\\]$/p' /build/downloads.txt > /build/cpu.txt \
    && $DOWNLOAD -d /wheels -r /build/cpu.txt \
    && python3 /build/unpack.py /wheels /out/opt/onnxruntime/lib /out/usr/share/doc/inferneo && rm -r /wheels

# What both images have in common.
FROM ${DEBIAN} AS base
# Nobody in here may become somebody else.
RUN find / -xdev -perm /6000 -type f -exec chmod a-s '{}' +
COPY --from=binary /out/ /
ENV INFERNEO_CONFIG=/etc/inferneo/inferneo.toml \
    INFERNEO_ONNXRUNTIME_LIBRARY=/opt/onnxruntime/lib/libonnxruntime.so \
    ORT_DISABLE_TELEMETRY=1
ARG VERSION=""
LABEL org.opencontainers.image.title="inferneo" \
      org.opencontainers.image.description="A batching sidecar for ML inference" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
USER 65532:65532
WORKDIR /
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# Really infers, once with each model. A server on another port needs another check.
HEALTHCHECK --interval=30s --timeout=15s --start-period=2m \
    CMD ["inferneo", "doctor", "--url", "http://127.0.0.1:8080", "--timeout", "10s"]
ENTRYPOINT ["inferneo"]
CMD ["serve"]

FROM base AS cuda
COPY --from=runtime-cuda /out/ /
# The driver's own libraries come from the host, by way of the container engine.
ENV LD_LIBRARY_PATH=/opt/onnxruntime/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
COPY --from=runtime-cpu /out/ /
