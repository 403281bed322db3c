#!/usr/bin/env bash
# Writes requirements.lock: what a real install of every extra holds today, in a fresh environment.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3}" -m venv "$fresh/venv"
pip() { "$fresh/venv/bin/python" -m pip --disable-pip-version-check -qq "$@"; }
torch="${TORCH:-torch==2.13.0}"
pip install "$torch"
pip install -e '.[onnx,openvino,quickstart,dev,docs]'
{
  echo "# What CI installs. Made by \`make lock\`: pip freeze of a fresh install of .[onnx,openvino,quickstart,dev,docs] on CPython 3.11,"
  echo "# Linux. torch goes first and by its plain version: any build of it will do, with CUDA or without."
  echo "$torch"
  # The build's local label (+cpu) and what belongs to a CUDA build are left to the machine.
  pip freeze --exclude-editable | grep -v -i -E '^(torch|triton|nvidia-.*|cuda-.*)=='
} >"$fresh/requirements.lock"
if grep -q -E '://|@ ' "$fresh/requirements.lock"; then
  echo "lock: an address got into the lock; install from a registry by name and version" >&2
  exit 1
fi
mv "$fresh/requirements.lock" requirements.lock
