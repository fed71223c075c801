#!/usr/bin/env bash
# Builds cyto and finds out, in a network of workers, what installing a package pulls in: for some
# hundreds of the packages that apt knows, or for those that --set roots="NAME..." names.
# Takes the options of `cyto run`, such as --chaos kill-every-ms=50, --input FILE, --output FILE.
set -euo pipefail

called_from="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
job=closure
source examples/job.sh

build_job
take_options "$@"
if [[ -z "$input" ]]; then
  input=build/available
  available "$input"
fi
run_job
if [[ "$output" != - ]]; then
  awk -F '\t' '$2 ~ /^nobody provides / { $1 = $1 " roots:"; print }
    $2 !~ / / && shown++ < 10' "$output"
  say "table: $output"
fi
say_time
