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
    # Beside a part of OpenTelemetry, which the line above brings, the agents of Ray's nodes need the rest of it.
    .cache/py/bin/python -m pip install --quiet --disable-pip-version-check \
        'ray==2.*' 'opentelemetry-sdk==1.*' 'opentelemetry-exporter-prometheus'
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
# Counts the instructions of the hot kernels (tests/bench/counts).
if ! command -v valgrind >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null ||
        ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind >/dev/null; }; then
        echo "skipped: valgrind is not there and cannot be installed, the instructions of the kernels are not counted"
    fi
fi
# The types of KubeRay's, JobSet's and Kueue's objects, which crd_schemas.py makes schemas of.
if [ ! -d .cache/schemas/src ]; then
    kinds=kube-custom-resources-rs-2024.11.1
    mkdir -p .cache/schemas
    if ! {
        cargo info --quiet "${kinds%-*}@${kinds##*-}" >/dev/null 2>&1 &&
            tar -xzf "$(ls "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$kinds.crate" | head -1)" -C .cache/schemas --strip-components 1 \
                "$kinds/src/ray_io" "$kinds/src/jobset_x_k8s_io" "$kinds/src/kueue_x_k8s_io"
    }; then
        rm -rf .cache/schemas
        echo "skipped: $kinds cannot be fetched, the files of KubeRay, JobSet and Kueue are not checked"
    fi
fi
