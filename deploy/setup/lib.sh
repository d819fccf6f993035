# Shared by the set-up scripts: one line a step with its time, a log, and on failure the end of the log with the fix.
# Source it; it sets ROOT, RUN_DIR, VENV, STAMPS and LOG.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RUN_DIR=${RUN_DIR:-$ROOT/.run}
VENV=$ROOT/.venv
STAMPS=$VENV/stamps
LOG=$RUN_DIR/setup.log
mkdir -p "$RUN_DIR"

say() { printf 'setup: %s\n' "$*"; }

# die MESSAGE FIX: one sentence of what is wrong, one of what to do.
die() {
  printf '\nsetup: failed: %s\n  fix: %s\n' "$1" "$2" >&2
  exit 1
}

# step TITLE FIX COMMAND...: runs the command with its output in the log; on a terminal the line counts the seconds.
step() {
  local title=$1 fix=$2 began=$SECONDS child status=0
  shift 2
  printf '\n== %s: %s\n' "$(date -u +%FT%TZ)" "$*" >>"$LOG"
  local from; from=$(wc -l <"$LOG")
  [ -t 1 ] || printf 'setup: %s ...\n' "$title"
  "$@" >>"$LOG" 2>&1 </dev/null &
  child=$!
  trap 'kill $child 2>/dev/null; exit 130' INT TERM
  while [ -t 1 ] && kill -0 "$child" 2>/dev/null; do
    printf '\r\033[Ksetup: %s ... %ds  %.60s' "$title" $((SECONDS - began)) "$(tail -n 1 "$LOG" | tr -cd '[:print:]')"
    sleep 0.5
  done
  wait "$child" || status=$?
  trap - INT TERM
  [ -t 1 ] && printf '\r\033[K'
  if [ "$status" -ne 0 ]; then
    tail -n +"$((from + 1))" "$LOG" | tail -n 25 | sed 's/^/  | /' >&2
    die "$title (exit $status); the whole log is ${LOG#"$ROOT"/}" "$fix"
  fi
  printf 'setup: %s: done in %d s\n' "$title" $((SECONDS - began))
}

# as_root COMMAND...: with sudo where we are not root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# fingerprint FILE...: one hash over the files' contents.
fingerprint() { cat -- "$@" | sha256sum | cut -d' ' -f1; }

# stamped NAME VALUE: true when the stamp already says so.
stamped() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }

# stamp NAME VALUE: remember it.
stamp() {
  mkdir -p "$STAMPS"
  printf '%s\n' "$2" >"$STAMPS/$1"
}

# One set-up at a time in one clone.
exec 9>"$RUN_DIR/setup.lock"
if ! flock -n 9; then
  say "another set-up is running in this clone, waiting for it"
  flock 9
fi
