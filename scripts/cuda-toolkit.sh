#!/usr/bin/env bash
# The run-time libraries that scoring on an NVIDIA card needs beside the driver, from the Python registry's wheels alone: NVRTC, which
# compiles the kernels at start, and cuBLAS. A build needs nothing of CUDA: the program loads these when a card is asked for.
#
#   scripts/cuda-toolkit.sh [FOLDER]      default: target/cuda-toolkit
#   source FOLDER/env.sh                  then: t3b run my.toml --set device.kind=cuda
#
# libcuda.so.1 comes with the driver of the machine. Where Python packages are installed, the wheel t3b-cuda (deploy/cuda) brings the same.
set -euo pipefail

# 13.0 runs on every driver of the 580 series and newer; newer libraries would not.
readonly version=13.0
readonly packages=("nvidia-cuda-nvrtc==$version.*" "nvidia-cublas==13.0.*")

main() {
    local folder
    mkdir -p "${1:-target/cuda-toolkit}"
    folder=$(cd "${1:-target/cuda-toolkit}" && pwd)
    if [[ -f $folder/env.sh ]]; then
        echo "cuda-toolkit: $folder is ready; source $folder/env.sh"
        return
    fi
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --target "$folder/wheels" "${packages[@]}"
    rm -rf "$folder/venv"
    # The wheels of one major version share a folder.
    cat >"$folder/env.sh" <<END
# Made by scripts/cuda-toolkit.sh.
export LD_LIBRARY_PATH="$folder/wheels/nvidia/cu${version%%.*}/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
END
    echo "cuda-toolkit: $(du -sh "$folder" | cut -f 1); source $folder/env.sh"
}

main "$@"
