# Scenario: one streamed chat from dpu-fastpath on rxe0 to host-worker on rxe1, over RC verbs on soft-RoCE.

. "$HERE/product.sh"
QUESTION="soft RoCE carries every word of this question to the worker and back again"

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

# The next scenario goes on with the same processes: to start Python four times is most of the time here.
product_start chat
chat_ask
. "$HERE/life.sh"
