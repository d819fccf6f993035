#!/usr/bin/env bash
# Makes BCC able to compile for this kernel: links Debian's headers where it looks, and mounts bpffs. Says what it cannot do.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

modules=/lib/modules/$(uname -r)

# For XDP programs any recent headers of this architecture do: only fixed kernel-to-user structures are used.
link_headers() {
  local arch common
  arch=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-amd64' -o -maxdepth 1 -name 'linux-headers-*-arm64' | sort -V | tail -n 1)
  [ -n "$arch" ] || return 1
  common=${arch%-*}-common
  as_root mkdir -p "$modules"
  as_root ln -sfn "$arch" "$modules/build"
  as_root ln -sfn "$common" "$modules/source"
}

if [ -e "$modules/build" ]; then
  say "kernel headers: at $modules/build"
elif link_headers 2>>"$LOG"; then
  say "kernel headers: $modules/build now leads to $(readlink "$modules/build")"
else
  say "kernel headers: none found and none linked; the packet stage cannot be compiled here (apt-get install linux-headers-amd64)"
fi

if mountpoint -q /sys/fs/bpf; then
  say "bpffs: mounted on /sys/fs/bpf"
elif as_root mount -t bpf bpf /sys/fs/bpf 2>>"$LOG"; then
  say "bpffs: mounted on /sys/fs/bpf now"
else
  say "bpffs: not mounted, and this user or kernel cannot; the packet stage will be left out"
fi
