#!/usr/bin/env bash
# nvcc for the one architecture in $ONE_ARCHITECTURE (90, say), whatever list a build asks for: that is what takes the
# time.  A build by PyTorch calls it where PYTORCH_NVCC names it; $REAL_NVCC is the compiler.
set -euo pipefail
kept=()
while (($#)); do
  case "$1" in
    -gencode | --generate-code) shift ;;  # and what follows it
    -gencode=* | --generate-code=*) ;;
    *) kept+=("$1") ;;
  esac
  shift
done
exec "$REAL_NVCC" "${kept[@]}" -gencode "arch=compute_$ONE_ARCHITECTURE,code=sm_$ONE_ARCHITECTURE"
