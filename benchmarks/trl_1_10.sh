#!/bin/sh
# An environment with TRL 1.10, the last release that has PPO: benchmarks/trl_1_10.sh [PYTHON]; prints its Python.
# All else is of the versions in constraints.txt, so that a comparison differs in the trainer alone.
set -eu
cd "$(dirname "$0")/.."
folder=build/trl-1.10
if [ ! -e "$folder/.installed" ]; then
    "${1:-python3}" -m venv "$folder" >&2
    grep -v '^trl==' constraints.txt >"$folder/constraints.txt"
    # torch first and pinned: left to a resolver it becomes a CUDA build of several GB
    "$folder/bin/pip" install --quiet --constraint "$folder/constraints.txt" torch >&2
    "$folder/bin/pip" install --quiet --constraint "$folder/constraints.txt" trl==1.10.0 pandas safetensors >&2
    touch "$folder/.installed"
fi
echo "$PWD/$folder/bin/python"
