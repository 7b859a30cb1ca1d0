#!/usr/bin/env bash
# A CUDA toolkit from the Python registry's wheels alone, for building with `--features cuda` on a machine without a GPU or an
# installed toolkit.
#
#   scripts/cuda-toolkit.sh [FOLDER]      default: target/cuda-toolkit
#   source FOLDER/env.sh                  then: cargo check --features cuda
#
# The folder gets bin, include and lib as an installed toolkit has them. What a toolkit's installer would add is made here:
# unversioned links of the libraries, and a stub of libcuda to link against, made of the names in its header. The real
# libcuda.so.1 comes with the driver of the machine that runs the program.
set -euo pipefail

# 13.0 runs on every driver of the 580 series and newer; a program built with a newer toolkit would not.
readonly version=13.0
readonly packages=(
    "nvidia-cuda-nvcc==$version.*" "nvidia-cuda-runtime==$version.*" "nvidia-cuda-cccl==$version.*" "nvidia-cuda-crt==$version.*"
    "nvidia-cuda-nvrtc==$version.*" "nvidia-nvvm==$version.*" "nvidia-cublas==13.0.*" "nvidia-curand==10.4.0.*"
)

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
    # The wheels of one major version share a folder that is laid out like a toolkit.
    ln -sfn "wheels/nvidia/cu${version%%.*}" "$folder/toolkit"
    chmod +x "$folder"/toolkit/bin/* "$folder"/toolkit/nvvm/bin/*
    link_libraries "$folder/toolkit/lib"
    make_stub "$folder/toolkit"
    ln -sfn lib "$folder/toolkit/lib64"
    write_env "$folder"
    rm -rf "$folder/venv"
    echo "cuda-toolkit: $("$folder/toolkit/bin/nvcc" --version | tail -n 2 | head -n 1), $(du -sh "$folder" | cut -f 1)"
    echo "cuda-toolkit: source $folder/env.sh"
}

# The linker looks for libNAME.so; the wheels hold libNAME.so.VERSION.
link_libraries() {
    local library
    for library in "$1"/lib*.so.*; do
        ln -sfn "$(basename "$library")" "${library%%.so.*}.so"
    done
}

# A library with the driver's functions, none of which works, for the linker. Names that the header renames by a macro
# (`cuMemAlloc` is `cuMemAlloc_v2`) are there in both forms.
make_stub() {
    local names
    names=$(
        {
            "${CC:-cc}" -E -P -I "$1/include" - <<<'#include <cuda.h>' | grep -oE '\bcu[A-Z][A-Za-z0-9_]*[[:space:]]*\(' | tr -d ' ('
            grep -oE '^[[:space:]]*#[[:space:]]*define[[:space:]]+cu[A-Z][A-Za-z0-9_]*' "$1/include/cuda.h" | awk '{print $NF}'
        } | sort -u
    )
    mkdir -p "$1/lib/stubs"
    # 999 is CUDA_ERROR_UNKNOWN.
    for name in $names; do echo "int $name(void) { return 999; }"; done |
        "${CC:-cc}" -shared -fPIC -Wl,-soname,libcuda.so.1 -x c -o "$1/lib/stubs/libcuda.so" -
    ln -sfn stubs/libcuda.so "$1/lib/libcuda.so"
    echo "cuda-toolkit: a stub of libcuda with $(wc -w <<<"$names") names"
}

write_env() {
    cat >"$1/env.sh" <<END
# Made by scripts/cuda-toolkit.sh.
export CUDA_HOME="$1/toolkit" CUDA_PATH="$1/toolkit"
export PATH="$1/toolkit/bin:\$PATH"
export LIBRARY_PATH="$1/toolkit/lib\${LIBRARY_PATH:+:\$LIBRARY_PATH}"
# candle's kernels become portable code for this generation, which the driver compiles for newer cards; ours are compiled for
# the card at start.
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-80}"
END
}

main "$@"
