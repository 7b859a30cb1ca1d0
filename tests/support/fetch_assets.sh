#!/bin/sh
# Fetches the pictures two corruptions draw, for byte parity with the reference. Nothing here is committed.
#
# usage: tests/support/fetch_assets.sh [FOLDER]        (default .cache/assets in the repository)
#
#   3.npy, 4.npy   stain masks of medmnistc 0.1.0 (Apache-2.0), from PyPI
#   rowmand.jhf    Hershey Roman Duplex, from Debian's hershey-fonts-data. The Hershey Fonts were originally created
#                  by Dr. A. V. Hershey while working at the U. S. National Bureau of Standards; the format of the
#                  font data was originally created by James Hurt, Cognition, Inc.
set -eu

repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$repository/.cache/assets}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m pip download --quiet --no-deps medmnistc==0.1.0
python3 -m zipfile -e medmnistc-0.1.0-*.whl wheel
python3 -m zipfile -e wheel/medmnistc/assets/inks.npz inks
cp inks/3.npy inks/4.npy "$folder"

if [ -r /usr/share/hershey-fonts/rowmand.jhf ]; then
    cp /usr/share/hershey-fonts/rowmand.jhf "$folder"
elif command -v apt-get >/dev/null; then
    apt-get download hershey-fonts-data 2>/dev/null || { apt-get update -qq && apt-get download hershey-fonts-data; }
    dpkg-deb -x hershey-fonts-data_*.deb fonts
    cp fonts/usr/share/hershey-fonts/rowmand.jhf "$folder"
else
    echo "no apt-get: put rowmand.jhf of Debian's hershey-fonts-data into $folder yourself" >&2
fi
ls -l "$folder"
