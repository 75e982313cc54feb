#!/bin/sh
# Puts TensorFlow's C library below /opt/downpour: VARIANT cpu or gpu, of the release TENSORFLOW.
set -eu
mkdir -p /opt/downpour
if [ "$VARIANT" = gpu ]; then
  # With the CUDA packages that it is built for. Offline, all of them lie in the folder of wheels.
  index=""
  if ls /wheels/tensorflow-"$TENSORFLOW"-*.whl >/dev/null 2>&1; then index=--no-index; fi
  python3 -m pip install --no-cache-dir $index --find-links /wheels --target /opt/downpour/gpu "tensorflow[and-cuda]==$TENSORFLOW"
  # The library, its headers and CUDA; the rest is Python.
  cd /opt/downpour/gpu
  find . -mindepth 1 -maxdepth 1 ! -name tensorflow ! -name nvidia -exec rm -rf {} +
  find tensorflow -mindepth 1 -maxdepth 1 ! -name "libtensorflow*" ! -name include -exec rm -rf {} +
  exit
fi
if [ "$VARIANT" != cpu ]; then
  echo "VARIANT is $VARIANT: expected cpu or gpu" >&2
  exit 1
fi
# The set-up checks the wheel against the checksum that it knows.
wheel=$(find /wheels -name "tensorflow*-$TENSORFLOW-*.whl" | head -n 1)
if [ -n "$wheel" ]; then export DOWNPOUR_LIBTENSORFLOW="$wheel"; fi
printf '{"dependencies":{"@tensorflow/tfjs-node":"%s"}}\n' "$TFJS_NODE" >/app/packages/worker/package.json
DOWNPOUR_CACHE_DIR=/opt/downpour node /app/deploy/image/get-library.mjs
