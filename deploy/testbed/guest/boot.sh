#!/usr/bin/env bash
# First script in the virtual machine: boot.sh OUT PYTHON SCENARIO. Makes the devices, then becomes the scenario.
OUT=$1 PYTHON=$2 SCENARIO=$3
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/lib.sh"

say "kernel $(uname -r), $(nproc) processors"
fact kernel "$(uname -r)"
fact boot_s "$(cut -d' ' -f1 /proc/uptime)"
make_rdma || fail "no soft-RoCE devices: does this kernel have rdma_rxe, rdma_ucm and veth?"
say "$(rdma link | tr '\n' ';')"
. "$SCENARIO"
