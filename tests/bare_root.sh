#!/usr/bin/env bash
# Proves that the README's two commands work on a Debian 12 with nothing but git and apt: makes such
# a root with debootstrap, puts a clean clone of HEAD in it, and runs both commands there.
# Needs root, debootstrap, git and about 4 GB in TMPDIR. Takes the machine's own apt sources.
#
#   tests/bare_root.sh           all of it
#   tests/bare_root.sh --probe   only the root, and that apt installs one package in it
#
# Inner shells and apt expand the quoted $; the functions are called by their names, through step.
# shellcheck disable=SC2016,SC2317
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
release=bookworm

# Everything that is mounted or started lives in namespaces of its own: when this script ends,
# however it ends, the kernel removes both, and the folder can be deleted without a second thought.
if [[ "${CYTO_BARE_ROOT:-}" == "" ]]; then
  ((EUID == 0)) || { echo "bare_root: needs root, for debootstrap and chroot" >&2; exit 1; }
  for tool in debootstrap git unshare chroot apt-get; do
    command -v "$tool" >/dev/null || { echo "bare_root: needs the command $tool" >&2; exit 1; }
  done
  work="$(mktemp -d)"
  child=
  # unshare waits through softer signals, and the kernel ends all inside together with it.
  finish() {
    if [[ -n "$child" ]] && kill -KILL "$child" 2>/dev/null; then
      wait "$child" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$work"
  }
  trap finish EXIT
  trap 'exit 143' TERM HUP
  trap 'exit 130' INT
  CYTO_BARE_ROOT="$work" unshare --mount --pid --fork --kill-child --mount-proc \
    "${BASH_SOURCE[0]}" "$@" &
  child=$!
  wait "$child"
  exit
fi

work="$CYTO_BARE_ROOT"
root="$work/root"
failed=0

# Prints PASS or FAIL for a step, and the end of its output if it failed.
step() {
  local name="$1" began=$SECONDS status
  shift
  # Not `if ("$@")`: in a condition a function would run on after its first failure.
  set +e
  (set -e; "$@") >"$work/log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status == 0)); then
    echo "PASS $name ($((SECONDS - began)) s)"
  else
    echo "FAIL $name ($((SECONDS - began)) s)"
    tail -n 60 "$work/log"
    failed=1
  fi
}

# A step without which the others make no sense.
must() {
  step "$@"
  ((failed == 0)) || exit 1
}

# The place from which this machine gets the release, as apt itself reads its sources.
mirror() {
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
    awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }'
}

make_root() {
  local uri
  uri="$(mirror)"
  [[ -n "$uri" ]] || {
    echo "bare_root: apt's sources have no $release main"
    return 1
  }
  debootstrap --variant=minbase --include=git,ca-certificates "$release" "$root" "$uri"
}

# apt inside gets packages the way apt outside does: the same sources, keys and proxy settings.
share_apt() {
  local path
  rm -f "$root/etc/apt/sources.list"
  for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf \
    /etc/apt/apt.conf.d /etc/apt/keyrings /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d \
    /usr/share/keyrings; do
    [[ -e "$path" ]] || continue
    mkdir -p "$root$(dirname "$path")"
    cp -a "$path" "$root$(dirname "$path")/"
  done
  for path in /etc/resolv.conf /etc/hosts; do
    [[ ! -e "$path" ]] || cp -L "$path" "$root$path"
  done
}

mount_in() {
  # A place of its own for the kernel, or nobody inside could make namespaces with mounts of theirs.
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind --make-rslave /sys "$root/sys"
  mount --rbind --make-rslave /dev "$root/dev"
  # Its own, so that nothing left there by the tests stays on this machine.
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t tmpfs tmpfs "$root/run"
}

inside() {
  local settings=(PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8) name
  for name in http_proxy https_proxy no_proxy; do
    [[ -z "${!name:-}" ]] || settings+=("$name=${!name}")
  done
  env -i "${settings[@]}" chroot "$root" "$@"
}

in_clone() {
  inside bash -c 'cd /cyto && exec "$@"' bash "$@"
}

must "a minimal $release root" make_root
must "apt as outside" share_apt
must "mounts" mount_in
must "apt-get update inside" inside apt-get -qq update

if [[ "${1:-}" == --probe ]]; then
  step "apt-get install inside" \
    inside env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes less
  exit "$failed"
fi

must "a clean clone of HEAD" git clone --quiet --no-hardlinks "$here" "$root/cyto"
# What is found later and is newer than this was left there by the two commands.
touch "$root/before"
step "examples/revdeps/run.sh" in_clone examples/revdeps/run.sh
tail -n 14 "$work/log"
step "the same again, with nothing to build" in_clone examples/revdeps/run.sh
step "tests/run.sh" in_clone tests/run.sh
tail -n 14 "$work/log"
step "nothing left behind" inside bash -c '
  left="$(find /tmp /dev/shm /run -mindepth 1 -newer /before)"
  [[ -z "$left" ]] || { echo "$left"; exit 1; }'
if ((failed)); then verdict=FAIL; else verdict=PASS; fi
echo "$verdict the README on a bare root"
exit "$failed"
