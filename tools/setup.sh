#!/usr/bin/env bash
# Installs the Debian packages that cyto needs and this machine lacks.
#
#   tools/setup.sh run     what building and running takes
#   tools/setup.sh test    the test tools too
#   tools/setup.sh bench   besides, what `cyto bench peers` compares cyto with
#   tools/setup.sh lists   only apt's package lists, if there are none
#
# When nothing is missing it prints nothing and changes nothing, and needs no rights.
set -euo pipefail

run_packages=(
  g++ cmake ninja-build
  libboost-dev libflatbuffers-dev flatbuffers-compiler libconcurrentqueue-dev
  libcli11-dev libtomlplusplus-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libsystemd-dev
)
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev
  clang-tidy clang-format python3 gzip
  clang libclang-rt-dev # libFuzzer and its sanitizers.
  gcc libc6-dev spin # spin's models are C programs in the end.
  graphviz # Draws what `cyto trace --format svg` shows.
)
# Nothing but the benchmarks looks for these, and they do without.
bench_packages=(
  libzmq3-dev libnng-dev libreaderwriterqueue-dev
  libiceoryx-posh-dev libacl1-dev # The headers of the first want those of the second.
)

fail() {
  echo "setup: $*" >&2
  exit 1
}

case "${1:-}" in
  run) wanted=("${run_packages[@]}") ;;
  test) wanted=("${run_packages[@]}" "${test_packages[@]}") ;;
  bench) wanted=("${run_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
  lists) wanted=() ;;
  *)
    echo "setup: '${1:-}' is no profile; use: tools/setup.sh run|test|bench|lists" >&2
    exit 2
    ;;
esac

installed() {
  [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this system has no apt; install the counterparts of: ${wanted[*]}"
fi

missing=()
for package in "${wanted[@]}"; do
  installed "$package" || missing+=("$package")
done

if [[ "$1" == lists ]]; then
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && exit 0
  purpose="read apt's package lists"
else
  ((${#missing[@]})) || exit 0
  purpose="install ${missing[*]}"
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || fail "cannot $purpose: neither root nor sudo; run this as root"
  as_root=(sudo)
  # Without a terminal nobody could type the password, and sudo would wait or complain at length.
  [[ -t 0 ]] || as_root=(sudo -n)
fi

log="$(mktemp)"
trap 'rm -f "$log"' EXIT

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" \
    </dev/null >"$log" 2>&1 && return
  tail -n 20 "$log" >&2
  fail "cannot $purpose: 'apt-get $1' failed, see above; check the network and apt's sources"
}

echo "setup: to $purpose" >&2
apt update
if ((${#missing[@]})); then
  apt install --yes --no-install-recommends "${missing[@]}"
fi
