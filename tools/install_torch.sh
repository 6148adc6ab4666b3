#!/bin/sh
# Installs a CPU build of torch into the environment of PYTHON: a wheel at hand first, then PyTorch's CPU index
# (where no NVIDIA driver is), then PyPI. Under CI=true only the wheel at hand is tried.
# usage: install_torch.sh PYTHON REQUIREMENT
set -u
python=$1
requirement=$2
"$python" -c 'import torch' 2>/dev/null && exit 0
if "$python" -m pip install -q --no-compile --disable-pip-version-check --no-index --no-deps "$requirement"; then
    exit 0
fi
if [ "${CI:-}" = true ]; then
    echo "no wheel of $requirement at hand, and CI downloads none" >&2
    exit 1
fi
if ! command -v nvidia-smi >/dev/null 2>&1; then
    echo "no wheel at hand; asking PyTorch's CPU index" >&2
    "$python" -m pip install -q --disable-pip-version-check --no-deps \
        --index-url https://download.pytorch.org/whl/cpu "$requirement" && exit 0
fi
echo "asking PyPI (a CUDA build of several GB where the platform has one)" >&2
exec "$python" -m pip install -q --disable-pip-version-check "$requirement"
