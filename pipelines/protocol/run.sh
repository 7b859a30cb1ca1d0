#!/usr/bin/env bash
# The runnable protocol: trains the pairs when they are not there, scores every set, evaluates all of them together.
# Usage: pipelines/protocol/run.sh [DATA] ; needs the sets bccd, blood_pbc, breast_busi, xray_pneumonia and oct_neh3 below DATA.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(realpath "${1:-../shared/data}")
t3b=${T3B:-cargo run --release --quiet --bin t3b --}
out=$PWD/out/protocol
if [ ! -e out/pairs/README.md ]; then
    ${TRAIN_PAIRS:-cargo run --release --quiet --example train_pairs --} "$data" out/pairs
fi
runs=()
for set in bccd blood_pbc breast_busi xray_pneumonia oct_neh3; do
    pipeline=pipelines/protocol/real/$set.toml
    # First pass: T3 alone over all cells, whose mean coefficient the constant control takes.
    first=protocol-first-${set//_/-}
    $t3b run "$pipeline" --set "input.root=$data/$set" --set 'merge.methods=["pretrained","expert","t3_b"]' --set merge.grid=0 \
        --run-id "$first" --run-date 2026-01-01 >/dev/null
    # The whole pipeline; the constant is that mean, and the line's best point is picked on training images.
    $t3b run "$pipeline" --set "input.root=$data/$set" --set "merge.from=$out/_t3b/runs/$first" \
        --run-id "protocol-${set//_/-}" --run-date 2026-01-01 >/dev/null
    runs+=("$out/_t3b/runs/protocol-${set//_/-}")
done
$t3b evaluate "${runs[@]}" --out out/protocol/report
