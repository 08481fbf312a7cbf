#!/usr/bin/env bash
# Compiles as rustc does and lints on the way, so that CI compiles everything once: cargo calls this
# in rustc's place for the crates of this repository (RUSTC_WORKSPACE_WRAPPER). Not in sh, which
# drops variables with names like CARGO_BIN_EXE_updraft-agent.
set -euo pipefail
exec clippy-driver "$@" -D warnings
