# Scenario: one streamed chat from dpu-fastpath on rxe0 to host-worker on rxe1, over RC verbs on soft-RoCE.

RUN=/run/dpu-testbed
ROOT=$(cd "$HERE/../../.." && pwd)
QUESTION="soft RoCE carries every word of this question to the worker and back again"
PIDS=()

# start NAME DEVICE MODULE ARGUMENTS...: a process of the product, its log in the shared folder.
start() {
  local name=$1 device=$2 module=$3
  shift 3
  UCX_NET_DEVICES=$device PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -m "$module" "$@" \
    >"$OUT/chat-$name.log" 2>&1 &
  PIDS+=($!)
}

# answers PORT PATH: whether the health server on PORT says 200. Without a client program: each costs seconds here.
answers() {
  local said
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
  said=$(timeout 20 cat <&3)
  exec 3<&-
  [[ ${said%%$'\r'*} == *" 200 "* ]]
}

# field FILE NAME: values of a string field in JSON lines.
field() { sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$1" | sort -u | tr '\n' ' ' | sed 's/ $//'; }

chat_start() {
  mkdir -p $RUN
  start worker rxe1:1 host_agent.worker --name w0 --listen $ADDRESS_B:7101 --engine echo --model chat \
    --key-file "$ROOT/certs/dev/worker.key" --http 127.0.0.1:9466 --transport rc
  start fastpath rxe0:1 dpu_app.fastpath --name fastpath --socket $RUN/fastpath.sock --http 127.0.0.1:9464 \
    --threads 1 --journal "$OUT/chat-journal.jsonl" --transport rc
  start agent rxe0:1 dpu_app run --config "$HERE/dpu.yaml" --fastpath-socket $RUN/fastpath.sock \
    --state-dir $RUN/state --http 127.0.0.1:9465
  wait_for 180 answers 9466 /readyz || fail "host-worker is not ready; see chat-worker.log"
  say "host-worker is ready on $ADDRESS_B (rxe1)"
  wait_for 180 answers 9464 /readyz || fail "dpu-fastpath is not ready; see chat-fastpath.log and chat-agent.log"
  say "dpu-fastpath is ready, its worker reached from $ADDRESS_A (rxe0)"
}

chat_ask() {
  local before
  before=$(frames_of veth0)
  "$PYTHON" "$HERE/ask.py" --authority "$ROOT/certs/dev/ca.pem" "$QUESTION" || fail "the chat did not stream to its end"
  fact chat_wire_frames "$(($(frames_of veth0) - before))"
  # The record is written when the request has ended.
  wait_for 30 grep -q '"transport"' "$OUT/chat-journal.jsonl" || fail "no decision record in chat-journal.jsonl"
  fact chat_transport "$(field "$OUT/chat-journal.jsonl" transport)"
  fact chat_outcome "$(field "$OUT/chat-journal.jsonl" outcome)"
  [[ $(field "$OUT/chat-journal.jsonl" transport) == *rc* ]] || fail "UCX did not take rc_verbs"
}

chat_stop() {
  kill "${PIDS[@]}" 2>/dev/null
  wait "${PIDS[@]}" 2>/dev/null
}

rm -f "$OUT/chat-journal.jsonl"
trap chat_stop EXIT
chat_start
chat_ask
