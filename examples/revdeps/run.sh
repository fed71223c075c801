#!/usr/bin/env bash
# Builds cyto and counts, in a network of workers, which Debian packages most others depend on.
# Takes the options of `cyto run`, such as --chaos kill-every-ms=50, --input FILE, --output FILE.
set -euo pipefail

called_from="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
job=revdeps
source examples/job.sh

build_job
take_options "$@"
if [[ -z "$input" ]]; then
  input=build/available
  available "$input"
fi
run_job
if [[ "$output" != - ]]; then
  head -n 10 "$output"
  say "table: $output"
fi
say_time
