#!/usr/bin/env bash
# First script in the virtual machine: boot.sh OUT PYTHON SCENARIO... Makes the devices, then runs each scenario.
OUT=$1 PYTHON=$2
shift 2
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/lib.sh"

say "kernel $(uname -r), $(nproc) processors"
fact kernel "$(uname -r)"
fact boot_s "$(cut -d' ' -f1 /proc/uptime)"
make_rdma || fail "no soft-RoCE devices: does this kernel have rdma_rxe, rdma_ucm, bridge and veth?"
say "$(rdma link | tr '\n' ';')"
for scenario in "$@"; do
  began=$SECONDS
  # In a shell of its own: what it starts and sets ends with it.
  (. "$scenario") || exit 1
  fact "$(basename "$scenario" .sh)_s" $((SECONDS - began))
done
say "all scenarios passed"
