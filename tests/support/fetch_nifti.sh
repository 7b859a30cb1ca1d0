#!/bin/sh
# Fetches one real brain (ch2bet.nii.gz, BSD-3) for the decode tests, where apt can. Nothing here is committed.
#
# usage: tests/support/fetch_nifti.sh [FOLDER]        (default .cache/nifti in the repository)
set -eu

repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$repository/.cache/nifti}
if [ -e "$folder/ch2bet.nii.gz" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "skipped: no apt-get here, the tests do without a real brain"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
if ! apt-get download --quiet mricron-data >/dev/null 2>&1; then
    echo "skipped: mricron-data cannot be fetched, the tests do without a real brain"
    exit 0
fi
dpkg-deb -x mricron-data_*.deb unpacked
mkdir -p "$folder"
cp unpacked/usr/share/mricron/templates/ch2bet.nii.gz "$folder/"
