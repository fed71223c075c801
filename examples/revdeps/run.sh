#!/usr/bin/env bash
# Builds cyto and counts, in a network of workers, which Debian packages most others depend on.
# Takes the options of `cyto run`, such as --chaos kill-every-ms=50, --input FILE, --output FILE.
set -euo pipefail

called_from="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root="$PWD"
log=build/revdeps.log
mkdir -p build

say() { echo "revdeps: $*" >&2; }

# Runs a step that nobody wants to read about unless it fails.
quietly() {
  "$@" >>"$log" 2>&1 && return
  tail -n 40 "$log" >&2
  say "'$*' failed, see above and $root/$log"
  exit 1
}

tools/setup.sh run

: >"$log"
if [[ ! -f build/release/build.ninja ]]; then
  say "building (once, a minute or so)"
  # The tests' libraries are not needed here; tests/run.sh turns the tests on again.
  quietly cmake --preset release -DCYTO_BUILD_TESTS=OFF -DCYTO_BUILD_BENCH=OFF
fi
quietly cmake --build build/release --target revdeps

# The caller's own files win, and are meant relative to where the call was made.
input="" output=""
options=()
while (($#)); do
  case "$1" in
    --input | --output)
      (($# > 1)) || { say "$1: needs a file"; exit 2; }
      if [[ "$1" == --input ]]; then input="$2"; else output="$2"; fi
      shift
      ;;
    --input=*) input="${1#*=}" ;;
    --output=*) output="${1#*=}" ;;
    *) options+=("$1") ;;
  esac
  shift
done
absolute() {
  case "$1" in
    / | /* | -) printf '%s' "$1" ;;
    *) printf '%s/%s' "$called_from" "$1" ;;
  esac
}

# The input is what apt knows of every package; where apt knows nothing, an excerpt will do.
available() {
  local target=build/available
  [[ -s "$target" && ! /var/lib/apt/lists -nt "$target" ]] && return
  if ! tools/setup.sh lists || ! apt-cache dumpavail >"$target.new" 2>>"$log" ||
    (($(grep -c '^Package:' "$target.new") < 1000)); then
    say "apt has no package lists; taking the excerpt tests/data/packages.gz"
    gzip -dc tests/data/packages.gz >"$target.new"
  fi
  mv "$target.new" "$target"
}

if [[ -n "$input" ]]; then
  input="$(absolute "$input")"
else
  available
  input=build/available
fi
if [[ -n "$output" ]]; then output="$(absolute "$output")"; else output=build/revdeps.tsv; fi

began="${EPOCHREALTIME/[.,]/}"
build/release/bin/cyto run examples/revdeps/revdeps.toml \
  --input "$input" --output "$output" "${options[@]}"
took_us=$((${EPOCHREALTIME/[.,]/} - began))

if [[ "$output" != - ]]; then
  head -n 10 "$output"
  say "table: $output"
fi
printf 'revdeps: took %d.%03d s\n' $((took_us / 1000000)) $((took_us / 1000 % 1000)) >&2
