#!/usr/bin/env bash
# Builds cyto and replays, in a network of workers, this machine's log of dpkg, or the one that
# --input names: how many packages are in which state, and which are neither installed nor gone.
# Takes the options of `cyto run`, such as --chaos kill-every-ms=50, --input FILE, --output FILE.
set -euo pipefail

called_from="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
job=journal
source examples/job.sh

# All logs that are kept, the oldest first.
own_log() {
  local each logs=()
  while IFS= read -r each; do
    [[ -r "$each" ]] && logs+=("$each")
  done < <(compgen -G '/var/log/dpkg.log*' | sort --version-sort --reverse)
  ((${#logs[@]})) && gzip -dcf "${logs[@]}" 2>>"$log"
}

build_job
take_options "$@"
if [[ -z "$input" ]]; then
  input=build/dpkg.log
  if ! own_log >"$input" || [[ ! -s "$input" ]]; then
    say "there is no log of dpkg's; taking the excerpt tests/data/dpkg.log"
    input=tests/data/dpkg.log
  fi
fi
run_job
if [[ "$output" != - ]]; then
  awk -F '\t' '
    $2 ~ /^package / {
      split($2, word, " ")
      ++states[word[3]]
      if (word[3] != "installed" && word[3] != "not-installed" && word[3] != "config-files")
        print word[2], word[3], word[4]
    }
    END { for (each in states) printf "%6d packages %s\n", states[each], each }' "$output"
  awk -F '\t' '$2 ~ /^(out of order|lines |first line)/ && $1 > 0 { print "journal: " $2 ": " $1 }
    ' "$output" >&2
  say "table: $output"
fi
say_time
