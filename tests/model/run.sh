#!/usr/bin/env bash
# Checks the protocol's models: each must hold within small bounds, and a model with one of its
# rules left out must be found broken. About a minute on one core, at most 0.7 GB.
#
#   tests/model/run.sh            all runs
#   tests/model/run.sh turn park  those of these models
#
# The heads of the models say what each switch leaves out and how to run with larger bounds.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# holds|broken  model  switches
runs=(
  "holds  turn    -DNIN=2 -DPARTS=3"         # Workers A, B, C; one kill anywhere.
  "holds  turn    -DNIN=2 -DPARTS=6 -DTOUCH" # A, C and an observer; only listed cells are wiped.
  "holds  turn    -DNIN=2 -DPARTS=4 -DTOUCH -DCRASHES=2 -DJUMP"
  "broken turn    -DNIN=2 -DPARTS=6 -DNOSCRUB"
  "broken turn    -DNIN=3 -DPARTS=2 -DSCRUB0 -DCELLREAD"
  "broken turn    -DNIN=2 -DPARTS=2 -DHDR=3"
  "broken turn    -DNIN=2 -DPARTS=2 -DHDRFIRST"
  "broken turn    -DNIN=2 -DPARTS=4 -DNOVALID"
  "broken turn    -DNIN=3 -DPARTS=2 -DHEADFIRST"
  "holds  causal  -DRULE=2 -DTOTAL=4"
  "broken causal  -DRULE=3"
  "broken causal  -DRULE=2 -DCLOCKLOST"
  "holds  park    -DN=2"
  "holds  park    -DN=2 -DONEP -DLAZY -DCRASHES=2"
  "holds  park    -DN=2 -DDESC"              # Sleepers in event loops of their own.
  "broken park    -DN=1 -DNOFENCEP"
  "broken park    -DN=1 -DNOFENCEC"
  "broken park    -DN=1 -DNOWAKE"
  "broken park    -DN=1 -DDESC -DNOWAKE"
  "broken park    -DN=1 -DDESC -DDRAINLATE"
  "holds  super   -DN=2 -DKILLS=3 -DINCS=4"
  "broken super   -DN=2 -DPIDFILE"
  "holds  cycle   -DPOLICY=0 -DACYC"         # What a topology without cycles can rely on.
  "holds  cycle   -DPOLICY=7 -DORDER=1"      # What is deferred.
  "broken cycle   -DPOLICY=7 -DORDER=1 -DNOEXT"
  "holds  cycle   -DPOLICY=5"                # Another way: an outbox.
  "broken cycle   -DPOLICY=0"
  "holds  cut     -DMETHOD=3 -DTURNS=3"      # Consistent cuts by other means: not built.
  "holds  snapshot -DN=2 -DTURNS=3 -DTOTAL=4"
  "holds  snapshot -DN=3 -DTOTAL=3"
  "broken snapshot -DN=2 -DNOFALL"
  "broken snapshot -DN=2 -DRISE"
  "broken snapshot -DN=3 -DTOTAL=4 -DEARLY"
  "broken snapshot -DN=2 -DNOVALID"
  "holds  keys    -DM=2 -DK=0"               # Keys that move.
  "holds  keys    -DM=1 -DK=1"
  "broken keys    -DM=2 -DNOASK"
  "broken keys    -DM=2 -DONEASK"
  "broken keys    -DM=2 -DNOSEE"
  "broken keys    -DM=2 -DNOLOOK"
  "holds  member  -DM=2"                     # Lanes that join and leave: not built yet.
  "holds  pipe    -DTURNS=4"                 # Several turns in flight: not built yet.
)

for tool in spin gcc; do
  command -v "$tool" >/dev/null || {
    echo "model: needs the command $tool; tools/setup.sh test installs it" >&2
    exit 1
  }
done

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

# Leaves what the checker says in pan.log; false if there is no checker.
check() {
  local model="$1"
  shift
  rm -f pan ./pan.* ./*.trail
  {
    spin -a "$@" "$here/$model.pml" &&
      gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c &&
      ./pan -m2000000
  } >pan.log 2>&1
}

# Whether pan.log says what it should. A search that was cut short proves nothing.
says() {
  case "$1" in
    holds)
      grep -q 'errors: 0$' pan.log &&
        ! grep -Eq 'max search depth too small|Search not completed|MEMLIM' pan.log
      ;;
    broken)
      grep -q 'errors: 1$' pan.log && grep -Eq 'assertion violated|invalid end state' pan.log
      ;;
  esac
}

passed=0 failed=0
for run in "${runs[@]}"; do
  read -r -a words <<<"$run"
  expected="${words[0]}" model="${words[1]}" switches=("${words[@]:2}")
  (($#)) && [[ " $* " != *" $model "* ]] && continue
  began="${EPOCHREALTIME/[.,]/}"
  if check "$model" "${switches[@]}" && says "$expected"; then
    verdict=ok passed=$((passed + 1))
  else
    verdict=FAILED failed=$((failed + 1))
  fi
  took_ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
  states="$(grep -oE '[0-9.e+]+ states, stored' pan.log || true)"
  printf '%-6s %-6s %-6s %-45s %4d.%01d s  %s\n' "$verdict" "$expected" "$model" \
    "${switches[*]}" $((took_ms / 1000)) $((took_ms / 100 % 10)) "${states%% *} states"
  [[ "$verdict" == ok ]] || tail -n 20 pan.log
done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
