#!/usr/bin/env bash
# Everything that wants a GPU, in under eight minutes: builds mamba_ssm, tests, scan table, training steps, one fold.
#
#     benchmarks/gpu/run.sh [--json FILE] [--parts scan,fold] [--minutes 7.8]
#     benchmarks/gpu/run.sh --device cpu --tiny --json dry.json      # how far a machine without a GPU gets
#
# Needs Python with PyTorch for CUDA, Triton, NumPy, SciPy, pandas, numba, OpenCV, joblib, safetensors, tqdm, jinja2,
# pytest, hypothesis and scikit-learn, and nvcc, setuptools and ninja for the build; nothing is fetched, and neither
# MediaPipe nor PyAV nor openpyxl is needed.  What is missing is carried:
#
#     WHEELS=FOLDER   wheels (*.whl, one version of each), unpacked beside the project for this run only, and the
#                     source package that the build is made of (mamba_ssm-*.tar.gz); without it that part is skipped
#     PYTHON=COMMAND  the Python to use (python3)
#
#     pip download --no-deps --no-binary :all: --no-build-isolation mamba-ssm      # fetches the source package
#     pip download --no-deps --only-binary :all: opencv-python-headless einops     # wheels, where these are missing
#
# One JSON comes out (benchmarks/results/gpu.json): device, versions, and of every part ok, error, seconds.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$here/../..:$here/..:$work/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if compgen -G "${WHEELS:-}/*.whl" >/dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl || echo "carried wheels do not fit here; going on without"
fi
"$python" "$here/run.py" --work "$work" "$@"
