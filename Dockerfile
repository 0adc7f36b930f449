# The service with its default model. Which GPU library it holds is chosen by ACCELERATOR:
#   mxnet-cu117      MXNet on CUDA 11: Maxwell to Ada cards (the default)
#   onnxruntime-gpu  ONNX Runtime on CUDA 13: Turing to Blackwell cards
#   cpu              neither
# Each of them starts on a machine without a GPU too, says so, and computes on the CPU; with NEXTCHAR_DEVICE=gpu, which
# the profile gpu of docker-compose.yml sets, it ends with exit status 2 instead.

# CUDA 13.0 is the release that came with driver R580, whose support lasts until June 2028, longer than any other's;
# NVIDIA deletes an image half a year after its driver's end. Only its Ubuntu is used: CUDA itself comes from wheels.
# The digest is given by docker-compose.yml: an image built from another base keeps working without it.
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04
ARG ACCELERATOR=mxnet-cu117
# The project's, which pyproject.toml says and a Dockerfile cannot read.
ARG VERSION=0.2.0


# What both the build and the service stand on: the base's own Python, and the libraries that the wheels expect
# (MXNet's brings an old libgfortran, but not the libquadmath that it needs on x86-64 and that libgfortran5 pulls in).
FROM ${BASE_IMAGE} AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libgfortran5 libgomp1 python3 tini \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/nextchar/bin:$PATH \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1 \
    # Numba and Matplotlib keep what they compile and index; /tmp is the one place that can be written.
    HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib


# The locked dependencies, in an environment without pip. Changes when a lock file does.
FROM base AS dependencies
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/nextchar
COPY requirements/ /src/requirements/
ARG ACCELERATOR
RUN case "$ACCELERATOR" in \
        mxnet-cu117) lock=cuda11 ;; \
        onnxruntime-gpu) lock=cuda ;; \
        cpu) lock=runtime ;; \
        *) echo "ACCELERATOR=$ACCELERATOR is not one of mxnet-cu117, onnxruntime-gpu, cpu" >&2; exit 1 ;; \
    esac \
    && /opt/pip/bin/pip --python /opt/nextchar/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement /src/requirements/$lock.txt


# The default model. Changes when the training does, not when the service does.
FROM dependencies AS training
COPY model/ /src/model/
COPY nextchar/ /src/nextchar/
WORKDIR /src
ARG VERSION
# For the model's record: no package is installed here that could say it.
RUN mkdir "nextchar-$VERSION.dist-info" \
    && printf 'Metadata-Version: 2.1\nName: nextchar\nVersion: %s\n' "$VERSION" > "nextchar-$VERSION.dist-info/METADATA"
# Its epochs end the training, not the clock: a slow builder makes the same model.
RUN python -m nextchar train --preset quick --time-budget 3600 --out /models/lyrics \
    && rm -f /models/lyrics/resume.safetensors


# The project itself, as the packages that it installs.
FROM dependencies AS application
RUN /opt/pip/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --requirement /src/requirements/build.txt
COPY LICENSE README.md pyproject.toml /src/
COPY app/ /src/app/
COPY model/ /src/model/
COPY nextchar/ /src/nextchar/
RUN /opt/pip/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir /wheel /src \
    && /opt/pip/bin/pip --python /opt/nextchar/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
        --target /app /wheel/*.whl


FROM base
RUN groupadd --gid 10001 nextchar \
    && useradd --uid 10001 --gid nextchar --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nextchar
COPY --from=dependencies /opt/nextchar /opt/nextchar
COPY --from=training --chown=10001:10001 /models /models
COPY --from=application /app /app
COPY LICENSE /app/

ARG ACCELERATOR
ARG VERSION
ARG REVISION=
LABEL org.opencontainers.image.title="Nextchar" \
      org.opencontainers.image.description="Serves a character-level recurrent language model over HTTP ($ACCELERATOR)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# /app/bin has the command `nextchar`.
ENV PATH=/app/bin:$PATH \
    PYTHONPATH=/app \
    NEXTCHAR_HOST=0.0.0.0 \
    NEXTCHAR_MODELS_DIR=/models \
    # Without these the container runtime hands over no card, or refuses an older driver before the service can
    # say what is wrong and serve on the CPU.
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_DISABLE_REQUIRE=1
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "app.health"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "app"]
