# Starts the product inside the machine: workers on rxe1, fast path on rxe0, agent. Sourced by the scenarios that need it.

RUN=/run/dpu-testbed
ROOT=$(cd "$HERE/../../.." && pwd)
declare -A PIDS

# start NAME DEVICE MODULE ARGUMENTS...: a process of the product, its log in the shared folder.
start() {
  local name=$1 device=$2 module=$3
  shift 3
  UCX_NET_DEVICES=$device PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -m "$module" "$@" \
    >>"$OUT/$SCENARIO-$name.log" 2>&1 &
  PIDS[$name]=$!
}

# said PORT PATH: what the health server on PORT says. Without a client program: each costs seconds here.
said() {
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
  timeout 20 cat <&3
  exec 3<&-
}

# answers PORT PATH: whether it says 200.
answers() {
  local head
  head=$(said "$1" "$2") || return 1
  [[ ${head%%$'\r'*} == *" 200 "* ]]
}

# worker_up NAME: whether the fast path calls this worker ready.
worker_up() { said 9464 /metrics | grep -q "^dpu_worker_up{.*worker=\"$1\".*} 1"; }
worker_down() { ! worker_up "$1"; }

# field FILE NAME: values of a string field in JSON lines.
field() { sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$1" | sort -u | tr '\n' ' ' | sed 's/ $//'; }

# worker NUMBER: starts w0 or w1.
worker() {
  start "w$1" rxe1:1 host_agent.worker --name "w$1" --listen $ADDRESS_B:710$(($1 + 1)) --engine echo --model chat \
    --key-file "$ROOT/certs/dev/worker.key" --http "127.0.0.1:946$((6 + $1))" --transport rc
}

product_start() {
  SCENARIO=$1
  mkdir -p $RUN
  rm -f "$OUT/$SCENARIO"-*.log "$OUT/$SCENARIO-journal.jsonl"
  rm -rf $RUN/state
  trap product_stop EXIT
  worker 0
  worker 1
  start fastpath rxe0:1 dpu_app.fastpath --name fastpath --socket $RUN/fastpath.sock --http 127.0.0.1:9464 \
    --threads 1 --journal "$OUT/$SCENARIO-journal.jsonl" --transport rc
  start agent rxe0:1 dpu_app run --config "$HERE/dpu.yaml" --fastpath-socket $RUN/fastpath.sock \
    --state-dir $RUN/state --http 127.0.0.1:9465
  wait_for 240 answers 9466 /readyz || fail "host-worker w0 is not ready; see $SCENARIO-w0.log"
  wait_for 240 answers 9467 /readyz || fail "host-worker w1 is not ready; see $SCENARIO-w1.log"
  say "host-workers are ready on $ADDRESS_B (rxe1)"
  wait_for 240 answers 9464 /readyz || fail "dpu-fastpath is not ready; see $SCENARIO-fastpath.log and $SCENARIO-agent.log"
  wait_for 60 worker_up w0 && wait_for 60 worker_up w1 || fail "dpu-fastpath has not both workers"
  say "dpu-fastpath is ready, its workers reached from $ADDRESS_A (rxe0)"
}

product_stop() {
  kill "${PIDS[@]}" 2>/dev/null
  wait "${PIDS[@]}" 2>/dev/null
}
