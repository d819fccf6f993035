#!/usr/bin/env bash
# Installs the Debian packages of the named groups, and only those that are missing: packages.sh GROUP...
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages_of() {
  case $1 in
    build) echo build-essential pkg-config libucx-dev clang libclang-dev python3 python3-venv python3-dev ca-certificates openssl procps ;;
    bpf) echo python3-bpfcc "linux-headers-$(dpkg --print-architecture)" bpftool iproute2 ;; # BCC, the headers it compiles with, and what people look with
    bench) echo nginx-light haproxy nghttp2-client ;;
    tools) echo prometheus nfdump tshark ;; # promtool, nfcapd, tshark: tests ask them what they read when they are there
    testssl) echo testssl.sh bsdextrautils dnsutils ;;
    testbed) echo qemu-system-x86 linux-image-amd64 busybox-static iproute2 kmod rdma-core ibverbs-providers ucx-utils ;;
    go) echo golang-go ;;
    *) die "no package group named '$1'" "use one of: build, bpf, bench, tools, testssl, testbed, go" ;;
  esac
}

missing_of() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

# A list that cannot be refreshed (one foreign source down) does not stop a machine whose other lists are good.
install() {
  as_root apt-get -q update || echo "apt-get update reported an error; going on with the lists that are here"
  as_root env DEBIAN_FRONTEND=noninteractive INITRD="${INITRD:-Yes}" apt-get -q install -y --no-install-recommends "$@"
}

command -v dpkg-query >/dev/null ||
  die "this is not Debian: dpkg-query is missing" "use Debian 12, or install the packages that deploy/setup/packages.sh lists by hand"

wanted=()
for group in "$@"; do
  listed=$(packages_of "$group")
  read -ra names <<<"$listed"
  wanted+=("${names[@]}")
done
mapfile -t missing < <(missing_of "${wanted[@]}")

if [ "${#missing[@]}" -eq 0 ]; then
  say "Debian packages ($*): all ${#wanted[@]} here"
elif [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
  die "Debian packages are missing and this is neither root nor a user with sudo" \
    "as root: apt-get install ${missing[*]}"
else
  step "Debian packages ($*): installing ${#missing[@]} of ${#wanted[@]} (${missing[*]})" \
    "run 'apt-get update && apt-get install ${missing[*]}' by hand and read what it says" install "${missing[@]}"
fi
