# Scenario: what goes wrong on a real wire. A worker is killed in the middle of its streams and comes back, the cables
# are pulled and plugged in again, and 1,000 streams run. Sourced by chat.sh after its chat, or alone.

declare -F product_start >/dev/null || . "$HERE/product.sh"
[ -n "${SCENARIO:-}" ] || product_start life
LOAD=("$PYTHON" "$HERE/load.py" --authority "$ROOT/certs/dev/ca.pem")

# streams NAME ARGUMENTS...: streams in the background; their lines in life-NAME.log.
streams() {
  local name=$1
  shift
  "${LOAD[@]}" "$@" >"$OUT/life-$name.log" 2>&1 &
  STREAMS=$!
  wait_for 60 grep -q '^begun' "$OUT/life-$name.log" || fail "no stream has begun; see life-$name.log"
}

# count NAME WHAT: a figure that load.py said.
count() { sed -n "s/^$2=//p" "$OUT/life-$1.log"; }

life_killed() {
  streams killed --streams 8 --at-once 8 --tokens 150 --delay-ms 200
  kill -KILL "${PIDS[w0]}"
  local began=$SECONDS
  wait_for 30 worker_down w0 || fail "a killed worker still counts as up"
  fact life_killed_noticed_s $((SECONDS - began))
  wait $STREAMS
  fact life_killed_streams_whole "$(count killed whole)"
  fact life_killed_streams_error_event "$(count killed error_event)"
  fact life_killed_streams_cut "$(count killed cut)"
  [ "$(count killed cut)" = 0 ] || fail "a stream of a killed worker ended without a terminal event"
  [ "$(count killed error_event)" -gt 0 ] || fail "no stream was on the killed worker"
  "${LOAD[@]}" --streams 4 --at-once 2 --tokens 3 >"$OUT/life-elsewhere.log" 2>&1
  fact life_killed_new_streams_elsewhere "$(count elsewhere whole)"
  [ "$(count elsewhere whole)" = 4 ] || fail "new streams did not go to the other worker"
  worker 0
  wait_for 240 worker_up w0 || fail "the worker that came back was not found again"
  say "worker killed: error events, the other took over, and it came back"
}

life_link() {
  local hold began
  # Once for a moment, once for longer than a card tries again (8 s here), so that UCX has its own word to say.
  for hold in 0 15; do
    streams link --streams 4 --at-once 4 --tokens 150 --delay-ms 200
    cable out
    began=$SECONDS
    wait_for 60 worker_down w0 && wait_for 60 worker_down w1 || fail "workers behind a dead link still count as up"
    fact life_link_${hold}s_noticed_s $((SECONDS - began))
    wait $STREAMS
    fact life_link_${hold}s_streams_error_event "$(count link error_event)"
    fact life_link_${hold}s_streams_cut "$(count link cut)"
    [ "$(count link cut)" = 0 ] || fail "a stream over a dead link ended without a terminal event"
    sleep "$hold"
    cable in
    began=$SECONDS
    wait_for 120 worker_up w0 && wait_for 120 worker_up w1 || fail "workers were not found again after the link came back"
    fact life_link_${hold}s_back_s $((SECONDS - began))
  done
  say "cables out and in, twice: error events, then both workers again"
}

life_thousand() {
  local before
  before=$(frames_of veth0)
  "${LOAD[@]}" --streams 1000 --at-once 10 --tokens 5 >"$OUT/life-thousand.log" 2>&1
  fact life_thousand_whole "$(count thousand whole)"
  fact life_thousand_tokens "$(count thousand tokens)"
  fact life_thousand_s "$(count thousand seconds)"
  fact life_thousand_wire_frames "$(($(frames_of veth0) - before))"
  [ "$(count thousand whole)" = 1000 ] || fail "not all of 1,000 streams were whole; see life-thousand.log"
  say "1,000 streams: all whole"
}

life_thousand
life_killed
life_link
fact life_transport "$(field "$OUT/$SCENARIO-journal.jsonl" transport)"
