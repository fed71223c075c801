#!/usr/bin/env bash
# Runs all that decides whether cyto is in order, or the named parts of it.
#
#   tests/run.sh [format|tidy|analyze|asan|tsan|fuzz|plain]...
#
#   format  the sources stand as clang-format would put them
#   tidy    clang-tidy finds nothing in the library, the tools and the examples
#   analyze the same with clang's static analyzer, which takes three times as long; not by default
#   asan    the tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan    the unit tests under ThreadSanitizer, which sees the threads of one process: all other
#           programs have one thread each
#   fuzz    each fuzz target over its corpus, and a few seconds more
#   plain   the tests and the smoke run of the benchmarks, optimized as released
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all_parts=(format tidy analyze asan tsan fuzz plain)
parts=("$@")
((${#parts[@]})) || parts=(format tidy asan tsan fuzz plain)
for part in "${parts[@]}"; do
  [[ " ${all_parts[*]} " == *" $part "* ]] || {
    echo "run.sh: '$part' is no part; parts: ${all_parts[*]}" >&2
    exit 2
  }
done

tools/setup.sh test
mkdir -p build
jobs="$(nproc)"

# Runs a step whose output is of interest only when it fails.
quietly() {
  local log="$1"
  shift
  "$@" >"$log" 2>&1 && return
  tail -n 100 "$log"
  echo "run.sh: '$*' failed, see above and $PWD/$log"
  return 1
}

# An earlier quick start may have left the tests of this preset off.
configure() {
  quietly "build/configure-$1.log" cmake --preset "$1" -DCYTO_BUILD_TESTS=ON
}

build() {
  configure "$1" && quietly "build/build-$1.log" cmake --build --preset "$1"
}

run_format() {
  find include src tools tests bench examples experiments \
    \( -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 clang-format --dry-run -Werror || {
    echo "run.sh: 'clang-format -i' on the files above mends this"
    return 1
  }
}

run_tidy() {
  tidy '--checks=-clang-analyzer-*'
}

run_analyze() {
  tidy
}

# With the checks of .clang-tidy and the given options.
tidy() {
  # Only what flatc generates must be there; cyto and the examples know how to make it.
  configure release && quietly build/build-release.log cmake --build build/release || return 1
  # The compile commands are for gcc, some of whose warnings clang does not know.
  if ! find src tools examples -name '*.cpp' -print0 |
    xargs -0 -n 1 -P "$jobs" \
      clang-tidy --quiet -p build/release --extra-arg=-Wno-unknown-warning-option "$@" \
      >build/tidy.log 2>&1; then
    # What clang-tidy counts are mostly the suppressed warnings of other people's headers.
    grep -v ' warnings\? generated\.$' build/tidy.log
    return 1
  fi
}

run_asan() {
  build asan && ctest --preset asan -j2
}

run_tsan() {
  configure tsan &&
    quietly build/build-tsan.log cmake --build build/tsan --target unit_tests || return 1
  # ThreadSanitizer wants its shadow memory at a fixed place, which a kernel that scatters
  # addresses widely may have taken; where the machine allows it, this run is not scattered.
  local steady=()
  if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    steady=(setarch "$(uname -m)" --addr-no-randomize)
  fi
  # What a program under ThreadSanitizer writes there as it starts stays if it is killed just then.
  local temporary status=0
  temporary="$(mktemp -d)"
  chmod 755 "$temporary"  # As /tmp lets everybody through.
  TMPDIR="$temporary" "${steady[@]}" ctest --preset tsan -j2 -L unit || status=$?
  rm -rf "$temporary"
  return "$status"
}

run_fuzz() {
  tests/fuzz/run.sh 3
}

run_plain() {
  quietly build/configure-release.log \
    cmake --preset release -DCYTO_BUILD_TESTS=ON -DCYTO_BUILD_BENCH=ON &&
    quietly build/build-release.log cmake --build --preset release &&
    ctest --preset release -j2
}

# The plain part comes last, so that its summary is what stands at the end.
failed=()
for part in "${all_parts[@]}"; do
  [[ " ${parts[*]} " == *" $part "* ]] || continue
  echo "== $part"
  began=$SECONDS
  if "run_$part"; then verdict=passed; else verdict=failed failed+=("$part"); fi
  if [[ "$part" != plain ]]; then echo "== $part: $verdict in $((SECONDS - began)) s"; fi
done
if ((${#failed[@]})); then
  for part in "${failed[@]}"; do
    list="build/${part/plain/release}/Testing/Temporary/LastTestsFailed.log"
    [[ ! -s "$list" ]] || sed "s/^[0-9]*:/run.sh: $part: failed: /" "$list" >&2
  done
  echo "run.sh: failed: ${failed[*]}" >&2
  exit 1
fi
