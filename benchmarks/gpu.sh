#!/bin/sh
# Everything that needs a graphics card, in under ten minutes; the tables are written to runs/benchmarks. See gpu.py.
set -e
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" benchmarks/gpu.py "$@"
