#!/usr/bin/env bash
# Kills workers, pairs and supervisors at every point, not at a selection of points as the tests do
# otherwise, and says how many points that were.
#
#   tests/crash.sh [PRESET]        # release, as what is installed; or dev
#
# One line for each test, and their sum. Takes up to half an hour on two cores, most of it ptrace.
# Exit code 1 if any point lost, doubled or showed something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset="${1:-release}"

tools/setup.sh test
mkdir -p build
log="build/crash-$preset.log"
if ! {
  cmake --preset "$preset" -DCYTO_BUILD_TESTS=ON &&
    cmake --build "build/$preset" --target unit_tests e2e_tests
} >"$log" 2>&1; then
  tail -n 50 "$log"
  exit 1
fi

# The unit tests in two halves, side by side; the programs of the end-to-end tests after them.
export CYTO_CRASH_FULL=1
bin="build/$preset/bin"
began=$SECONDS
status=0
halves=()
for half in 0 1; do
  GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX="$half" \
    "$bin/unit_tests" --gtest_filter='Crash*' >"$log.$half" 2>&1 &
  halves+=($!)
done
for half in "${halves[@]}"; do wait "$half" || status=1; done
"$bin/e2e_tests" --gtest_filter='Crash*' >"$log.2" 2>&1 || status=1

cat "$log".[012] >"$log"
rm "$log".[012]
((status == 0)) || grep -v '^crash: ' "$log"
grep '^crash: ' "$log"
awk -v seconds="$((SECONDS - began))" '
  /^crash: / {
    for (i = 3; i < NF; i += 2) sum[$i] += $(i + 1)
  }
  END {
    printf "crash: all: instructions %d, states %d, judged %d, kills %d, looks %d, seconds %d\n",
      sum["instructions"], sum["states"], sum["judged"], sum["kills"], sum["looks"], seconds
  }' "$log"
exit "$status"
