# Scenario: UCX sees the devices, and its own client/server example crosses the wire over rc_verbs.

smoke_devices() {
  local listing
  listing=$(ucx_info -d)
  for device in rxe0:1 rxe1:1; do
    grep -A1 'Transport: rc_verbs' <<<"$listing" | grep -q "Device: $device" || fail "UCX has no rc_verbs on $device"
  done
  fact ucx "$(ucx_info -v | sed -n 's/.*Version \([0-9.]*\).*/\1/p')"
  say "ucx_info -d: rc_verbs on rxe0:1 and rxe1:1"
}

smoke_message() {
  local before server status=0
  before=$(frames_of veth0)
  UCX_TLS=rc_verbs UCX_NET_DEVICES=rxe1:1 timeout 90 "$OUT/ucp_client_server" -l $ADDRESS_B -p 7201 -c am \
    >"$OUT/smoke-server.log" 2>&1 &
  server=$!
  wait_for 30 grep -q listening "$OUT/smoke-server.log" || fail "the example's server does not listen"
  UCX_LOG_LEVEL=info UCX_TLS=rc_verbs UCX_NET_DEVICES=rxe0:1 timeout 60 "$OUT/ucp_client_server" -a $ADDRESS_B -p 7201 \
    -c am >"$OUT/smoke-client.log" 2>&1 || status=$?
  kill $server 2>/dev/null
  [ $status -eq 0 ] || fail "the example's client ended with $status; see smoke-client.log"
  fact smoke_lanes "$(sed -n 's/.*ep_cfg\[[0-9]*\]: *//p' "$OUT/smoke-client.log" | tail -n 1)"
  fact smoke_frames "$(($(frames_of veth0) - before))"
  say "UCX example: one active message over rc_verbs"
}

smoke_devices
smoke_message
