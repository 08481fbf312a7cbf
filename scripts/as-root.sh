#!/usr/bin/env bash
# Runs a command as root: directly, or through sudo with the caller's PATH.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
  exec "$@"
fi
exec sudo --preserve-env -- env "PATH=$PATH" "$@"
