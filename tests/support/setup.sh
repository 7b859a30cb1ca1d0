#!/usr/bin/env bash
# Fetches what the tests compare with: independent readers and servers. Everything lands in .cache/, which git ignores.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .cache
if [ ! -x .cache/py/bin/python ]; then
    python3 -m venv .cache/py
fi
.cache/py/bin/python -m pip install --quiet --disable-pip-version-check \
    'duckdb==2.*' 'polars==2.*' 'pandas==3.*' 'pyarrow==26.*' 'numpy==2.*' 'scipy==1.*' 'mpmath==1.*' 'moto[server]==5.*' 'deltalake==1.*' \
    'jsonschema==4.*' 'dagster-pipes==1.*' 'openlineage-python==1.*' 'opentelemetry-proto==1.*' 'sqlglot==30.*' \
    'kubernetes-validate==1.*' 'hera==7.*' 'pyyaml==6.*'
if [ -n "${T3B_FULL:-}" ]; then
    .cache/py/bin/python -m pip install --quiet --disable-pip-version-check 'ray==2.*'
fi
if [ ! -e .cache/assets/rowmand.jhf ]; then
    sh tests/support/fetch_assets.sh
fi
sh tests/support/fetch_dicom.sh
# Azure's emulator; its tests start it on a free loopback port. The S3 servers need nothing here but moto above: s3s is a crate.
if [ ! -x .cache/azurite/node_modules/.bin/azurite-blob ]; then
    npm install --prefix .cache/azurite --no-audit --no-fund --loglevel=error azurite@3.37.0 ||
        echo "skipped: Azurite cannot be installed, the tests do without Azure"
fi
sh tests/support/fetch_nifti.sh
