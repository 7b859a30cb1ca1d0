#!/bin/sh
# Fetches 146 real DICOM files (MIT) for the decode tests. Nothing here is committed, and no Python code runs.
#
# usage: tests/support/fetch_dicom.sh [FOLDER]        (default .cache/dicom in the repository)
set -eu

repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$repository/.cache/dicom}
if [ -d "$folder/data_store" ]; then
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m pip download --quiet --disable-pip-version-check --no-deps pydicom==3.0.2 pydicom-data==1.0.0
for wheel in *.whl; do
    python3 -m zipfile -e "$wheel" unpacked
done
mkdir -p "$folder/pydicom/data"
mv unpacked/pydicom/data/test_files "$folder/pydicom/data/"
mv unpacked/data_store "$folder/data_store"
echo "$(find "$folder" -type f | wc -l) files in $folder"
