# Scenario: our own frames, without HTTP around them: 100 requests and results between the two ends over rc_verbs.

frames_ping() {
  local before
  UCX_NET_DEVICES=rxe1:1 timeout 300 "$FRAME_PING" server $ADDRESS_B:7301 rc >"$OUT/frames-server.log" 2>&1 &
  wait_for 60 grep -q listening "$OUT/frames-server.log" || fail "frame_ping's server does not listen"
  before=$(frames_of veth0)
  UCX_NET_DEVICES=rxe0:1 timeout 240 "$FRAME_PING" client $ADDRESS_B:7301 rc 100 >"$OUT/frames-client.log" 2>&1 ||
    fail "frame_ping's client: $(tail -n 1 "$OUT/frames-client.log")"
  fact frames_transport "$(sed -n 's/^transport \([^ ]*\).*/\1/p' "$OUT/frames-client.log")"
  fact frames_median_us "$(sed -n 's/.*median_us \([0-9.]*\).*/\1/p' "$OUT/frames-client.log")"
  fact frames_on_the_wire "$(($(frames_of veth0) - before))"
  say "$(tail -n 1 "$OUT/frames-client.log")"
  grep -q '^transport rc_verbs/rxe0:1' "$OUT/frames-client.log" || fail "UCX did not take rc_verbs"
}

frames_ping
