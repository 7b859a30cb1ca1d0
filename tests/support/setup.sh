#!/usr/bin/env bash
# Fetches what the tests compare with: independent readers and servers. Everything lands in .cache/, which git ignores.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .cache
if [ ! -x .cache/py/bin/python ]; then
    python3 -m venv .cache/py
fi
.cache/py/bin/pip install --quiet --disable-pip-version-check 'duckdb==1.*' 'moto[server]==5.*'
if [ ! -e .cache/assets/rowmand.jhf ]; then
    sh tests/support/fetch_assets.sh
fi
sh tests/support/fetch_dicom.sh
sh tests/support/fetch_nifti.sh
