# Shared by the scripts that run inside the testbed's virtual machine. Source it; OUT is the folder shared with
# the host, PYTHON the interpreter that has the product.

set -uo pipefail

# Two ends, a switch between them. The server side (host-worker) lives on B, the client side (dpu-fastpath) on A.
ADDRESS_A=10.77.0.1
ADDRESS_B=10.77.0.2

say() { printf '%6.1fs %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }

# fact NAME VALUE: one line of the summary that the host prints at the end.
fact() { printf 'fact %s=%s\n' "$1" "$2"; }

# fail MESSAGE: the scenario ends here, and the host's exit status says so.
fail() {
  printf 'fail %s\n' "$*"
  exit 1
}

# frames_of NETDEV: frames sent on the wire so far; proof that verbs left the device.
frames_of() { cat "/sys/class/net/$1/statistics/tx_packets"; }

# make_wire: two ends and a switch between them, in one network namespace. rxe of this kernel has its UDP socket in the
# first namespace only, so the two ends cannot be told apart by namespaces; routing rules send A <-> B over the wire
# instead of over `lo`.
make_wire() {
  local port
  ip link set lo up
  ip link add switch type bridge || return 1
  ip link set switch up
  for port in 0 1; do
    ip link add veth$port type veth peer name port$port || return 1
    ip link set port$port master switch up
  done
  ip addr add $ADDRESS_A/24 dev veth0
  ip addr add $ADDRESS_B/24 dev veth1
  local end
  for end in veth0 veth1; do
    ip link set $end up
    # Both addresses are this machine's own: frames that come in from one of them are not spoofed.
    sysctl -q -w net.ipv4.conf.$end.accept_local=1 net.ipv4.conf.$end.rp_filter=0
    # What came over the wire is for us, whatever the rules below say.
    ip rule add pref 10 iif $end lookup local
  done
  sysctl -q -w net.ipv4.conf.all.rp_filter=0
  ip route add $ADDRESS_B dev veth0 src $ADDRESS_A table 101
  ip route add $ADDRESS_A dev veth1 src $ADDRESS_B table 102
  ip rule add pref 20 to $ADDRESS_B lookup 101
  ip rule add pref 21 to $ADDRESS_A lookup 102
  # The local table has preference 0 by default, which would win over all of this.
  ip rule add pref 200 lookup local
  ip rule del pref 0 lookup local
}

# cable out|in: pulls both cables at the switch, or plugs them in. The ends lose their carrier and keep their routes: an
# end that is itself set down loses them, and then soft-RoCE of this kernel puts its queue pair for connection
# management into an error state for good.
cable() {
  local port state=up
  [ "$1" = in ] || state=down
  for port in port0 port1; do ip link set $port $state; done
}

# make_rdma: soft-RoCE on both ends. One rxe device would talk to itself inside the driver, and no link could be cut.
make_rdma() {
  modprobe -a veth bridge rdma_rxe rdma_ucm || return 1
  make_wire || return 1
  rdma link add rxe0 type rxe netdev veth0 || return 1
  rdma link add rxe1 type rxe netdev veth1 || return 1
  # Verbs pin their buffers.
  ulimit -l unlimited
}

# wait_for SECONDS COMMAND...: true as soon as the command is; false when the time is over. Prints nothing.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.5
  done
}
