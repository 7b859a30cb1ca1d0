#!/bin/sh
# The long form: every target under libFuzzer for so many seconds, one after the other.
#
# usage: tests/fuzz/long.sh [SECONDS [TARGET...]]        (default 600, all targets)
#
# Needs `cargo install cargo-fuzz` and a nightly compiler. Inputs that fail stay in tests/fuzz/artifacts, what was learned in
# tests/fuzz/corpus; git ignores both.
set -eu

cd "$(dirname "$0")/../.."
seconds=${1:-600}
[ $# -gt 0 ] && shift
targets=${*:-decode_any dicom_prescan manifest npz tar_index parquet_rows safetensors_check path_parse}
T3B_FUZZ_SEEDS_TO="$PWD/tests/fuzz/corpus" cargo test --locked --quiet --test fuzz
failed=0
for target in $targets; do
    echo "== $target"
    cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=5 -print_final_stats=1 \
        || failed=1
done
exit $failed
