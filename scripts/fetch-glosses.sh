#!/usr/bin/env bash
# Writes the glosses of WordNet's synsets, 117,000 short texts, one a line, from Debian's package wordnet-base.
# usage: scripts/fetch-glosses.sh FILE.txt        needs apt-get and dpkg-deb; installs nothing
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 FILE.txt" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq wordnet-base)
dpkg-deb --extract "$work"/wordnet-base_*.deb "$work/files"
# A line of data.POS is `OFFSET ... | GLOSS`; the licence at the head of each file is indented.
for part in noun verb adj adv; do
    grep -v '^ ' "$work/files/usr/share/wordnet/data.$part" | sed 's/^[^|]*| *//; s/ *$//'
done > "$1"
wc -l "$1"
