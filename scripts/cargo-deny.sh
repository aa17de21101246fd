#!/usr/bin/env bash
# Licences, sources, doubtful crates and known vulnerabilities of the dependencies (deny.toml). Builds the tool once, under target/tools.
# Vulnerabilities need RustSec's database: where it cannot be reached, the rest is checked, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=${CARGO_TARGET_DIR:-target}/tools
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    # Without optimisation it is built in a third of the time, and checks in a second all the same.
    cargo install --quiet --debug --locked --version "$version" --root "$tools" --target-dir "$tools/build" cargo-deny
    rm -rf "$tools/build"
fi
deny() { "$tools/bin/cargo-deny" "$@"; }

# Those of other systems too, which no build here has fetched.
cargo fetch --quiet --locked
deny --offline check licenses bans sources
if deny fetch db >/dev/null 2>&1; then
    deny --offline check advisories
else
    echo "cargo-deny.sh: RustSec's database cannot be reached: advisories were not checked" >&2
fi
