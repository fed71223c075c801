# For the run.sh of an example, which sets `job` and sources this from the project's folder: builds,
# takes the options of `cyto run` apart, runs the job and says how long it took. Paths that the
# caller gives are meant relative to where the call was made ($called_from).

log="build/$job.log"
mkdir -p build

say() { echo "$job: $*" >&2; }

# Runs a step that nobody wants to read about unless it fails.
quietly() {
  "$@" >>"$log" 2>&1 && return
  tail -n 40 "$log" >&2
  say "'$*' failed, see above and $PWD/$log"
  exit 1
}

build_job() {
  tools/setup.sh run
  : >"$log"
  if [[ ! -f build/release/build.ninja ]]; then
    say "building (once, a minute or so)"
    # The tests' libraries are not needed here; tests/run.sh turns the tests on again.
    quietly cmake --preset release -DCYTO_BUILD_TESTS=OFF -DCYTO_BUILD_BENCH=OFF
  fi
  quietly cmake --build build/release --target "$job"
}

absolute() {
  case "$1" in
    / | /* | -) printf '%s' "$1" ;;
    *) printf '%s/%s' "$called_from" "$1" ;;
  esac
}

# Sets input and output, empty if they are not given, and options.
take_options() {
  input="" output=""
  options=()
  while (($#)); do
    case "$1" in
      --input | --output)
        (($# > 1)) || { say "$1: needs a file"; exit 2; }
        if [[ "$1" == --input ]]; then input="$(absolute "$2")"; else output="$(absolute "$2")"; fi
        shift
        ;;
      --input=*) input="$(absolute "${1#*=}")" ;;
      --output=*) output="$(absolute "${1#*=}")" ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  [[ -n "$output" ]] || output="build/$job.tsv"
}

# Sets took_us.
run_job() {
  local began="${EPOCHREALTIME/[.,]/}"
  build/release/bin/cyto run "examples/$job/$job.toml" \
    --input "$input" --output "$output" "${options[@]}"
  took_us=$((${EPOCHREALTIME/[.,]/} - began))
}

say_time() {
  printf '%s: took %d.%03d s\n' "$job" $((took_us / 1000000)) $((took_us / 1000 % 1000)) >&2
}

# Puts what apt knows of every package into $1; where apt knows nothing, an excerpt will do.
available() {
  local target="$1"
  [[ -s "$target" && ! /var/lib/apt/lists -nt "$target" ]] && return
  if ! tools/setup.sh lists || ! apt-cache dumpavail >"$target.new" 2>>"$log" ||
    (($(grep -c '^Package:' "$target.new") < 1000)); then
    say "apt has no package lists; taking the excerpt tests/data/packages.gz"
    gzip -dc tests/data/packages.gz >"$target.new"
  fi
  mv "$target.new" "$target"
}
