#!/usr/bin/env bash
# Parity and speed on an NVIDIA card, beside PyTorch, as one table in Markdown. No network; under ten minutes.
#
#   tests/gpu/run.sh --build    here: the program, target/gpu/card, for a machine that has a card and no toolkit
#   tests/gpu/run.sh            there: runs it, and PyTorch where there is one
#   tests/gpu/run.sh --dry      without a card: the kernels on the host against f64, the peer on the CPU where there is PyTorch
set -euo pipefail
cd "$(dirname "$0")/../.."

# A program that was not linked with a path finds CUDA's libraries where PyTorch's wheels or the toolkit have them.
libraries() {
    python3 - <<'END' 2>/dev/null || true
import glob, os, site
roots = site.getsitepackages() + [site.getusersitepackages()]
print(":".join(f for root in roots for f in glob.glob(os.path.join(root, "nvidia", "*", "lib")) if os.path.isdir(f)))
END
}

peer() {
    if python3 -c 'import torch' 2>/dev/null; then
        python3 tests/gpu/peer.py "$@"
    else
        echo "skipped: no PyTorch here"
    fi
}

case "${1:-}" in
--build)
    # shellcheck source=/dev/null
    source target/cuda-toolkit/env.sh
    cargo build --release -p t3b-gpu --features cuda --example card
    mkdir -p target/gpu
    cp target/release/examples/card target/gpu/card
    strip target/gpu/card
    ls -l target/gpu/card
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
    timeout 300 target/gpu/card || echo "the program ended with $?"
    timeout 280 bash -c "$(declare -f peer); peer" || echo "the peer ended with $?"
    ;;
*)
    echo "usage: tests/gpu/run.sh [--build | --dry]" >&2
    exit 64
    ;;
esac
