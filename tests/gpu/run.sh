#!/usr/bin/env bash
# Parity and speed on an NVIDIA card, beside PyTorch, as one table in Markdown. No network; under ten minutes.
#
#   tests/gpu/run.sh --build    here: the programs, target/gpu/card and target/gpu/t3b, for a machine that has a card
#   tests/gpu/run.sh            there: runs them, and PyTorch where there is one
#   tests/gpu/run.sh --dry      without a card: the kernels on the host against f64, the peer on the CPU where there is PyTorch
set -euo pipefail
cd "$(dirname "$0")/../.."

# CUDA's libraries are where PyTorch's wheels have them, as t3b-cuda looks for them, or where a toolkit has them.
libraries() {
    PYTHONPATH=deploy/cuda/src python3 -c 'from t3b_cuda.__main__ import libraries; print(":".join(libraries()))' 2>/dev/null || true
}

peer() {
    if python3 -c 'import torch' 2>/dev/null; then
        python3 tests/gpu/peer.py "$@"
    else
        echo "skipped: no PyTorch here"
    fi
}

# From JPEG files to rows, t3b on the card beside PyTorch on it.
from_jpeg() {
    if python3 -c 'import torch, transformers, pyarrow, PIL' 2>/dev/null; then
        for compute in bf16 f32; do
            python3 tests/bench/peers/end_to_end.py target/gpu/t3b --device cuda --compute "$compute" --images 512 --patch 16 \
                --rounds 2 --workers 8 --threads "$(nproc)"
        done
    else
        echo "skipped: from JPEG needs PyTorch, transformers, pyarrow and Pillow"
    fi
}

case "${1:-}" in
--build)
    cargo build --release -p t3b-gpu --features cuda --example card
    cargo build --release --bin t3b
    mkdir -p target/gpu
    strip -o target/gpu/card target/release/examples/card
    strip -o target/gpu/t3b target/release/t3b
    ls -l target/gpu
    ;;
--dry)
    cargo test -p t3b-gpu
    peer --dry
    ;;
"")
    export LD_LIBRARY_PATH="$(libraries):/usr/local/cuda/lib64:/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-}"
    if ! ldconfig -p | grep -q 'libcuda\.so\.1' && ! ls /usr/local/nvidia/lib64/libcuda.so.1 >/dev/null 2>&1; then
        echo "no libcuda.so.1 here: the driver of an NVIDIA card is missing; tests/gpu/run.sh --dry needs none" >&2
        exit 69
    fi
    timeout 240 target/gpu/card || echo "the program ended with $?"
    timeout 180 bash -c "$(declare -f peer); peer" || echo "the peer ended with $?"
    timeout 160 bash -c "$(declare -f from_jpeg); from_jpeg" || echo "from JPEG: ended with $?"
    ;;
*)
    echo "usage: tests/gpu/run.sh [--build | --dry]" >&2
    exit 64
    ;;
esac
