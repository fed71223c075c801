#!/usr/bin/env bash
# Builds the fuzz targets and runs each of them, or the named ones, that many seconds.
#
#   tests/fuzz/run.sh SECONDS [TARGET]...
#
# A run starts from the corpus in the tree and from what earlier runs have found, which is kept in
# build/fuzz/corpus/TARGET. An input that breaks something is left as build/fuzz/findings/TARGET-*;
# build/fuzz/bin/TARGET FILE runs it again. Nothing is left outside build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  echo "run.sh: $*; use: tests/fuzz/run.sh SECONDS [TARGET]..." >&2
  exit 2
}
[[ "${1:-}" =~ ^[1-9][0-9]{0,6}$ ]] || usage "'${1:-}' is no number of seconds"
seconds="$1"
shift

all=()
for source in tests/fuzz/*_fuzz.cpp; do all+=("$(basename "$source" .cpp)"); done
targets=("$@")
((${#targets[@]})) || targets=("${all[@]}")
for target in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $target "* ]] || usage "'$target' is no target; targets: ${all[*]}"
done

mkdir -p build
quietly() {
  "$@" >build/fuzz-build.log 2>&1 && return
  tail -n 60 build/fuzz-build.log
  echo "run.sh: '$*' failed, see above and $PWD/build/fuzz-build.log"
  return 1
}
quietly cmake --preset fuzz
quietly cmake --build --preset fuzz
mkdir -p build/fuzz/findings build/fuzz/logs

export UBSAN_OPTIONS=print_stacktrace=1
# An allocation that cannot succeed shall fail as new does, by bad_alloc.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1

# For the socket of socket_fuzz, whose path must be short; gone even if the target dies.
TMPDIR="$(mktemp -d)"
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

run_target() {
  local target="$1" log="build/fuzz/logs/$1.log" status=0
  mkdir -p "build/fuzz/corpus/$target"
  # Where the input is a row of edits, a short one says more.
  local longest=512
  case "$target" in topology_fuzz | rule_fuzz | schema_fuzz | trace_fuzz) longest=4096 ;; esac
  "build/fuzz/bin/$target" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len="$longest" \
    -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" \
    </dev/null >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    tail -n 60 "$log"
    echo "run.sh: $target found something; see above, $PWD/$log and build/fuzz/findings"
    return 1
  fi
  awk -v target="$target" '
    /stat::number_of_executed_units/ { runs = $2 }
    /cov: / { for (i = 1; i < NF; ++i) if ($i == "cov:") cov = $(i + 1) }
    END { printf "%-16s %10d runs, %5d edges\n", target, runs, cov }' "$log"
}

# Two at a time.
failed=0
running=0
for target in "${targets[@]}"; do
  if ((running == 2)); then
    wait -n || failed=1
    running=$((running - 1))
  fi
  run_target "$target" &
  running=$((running + 1))
done
while ((running > 0)); do
  wait -n || failed=1
  running=$((running - 1))
done
exit "$failed"
