# Scenario: the transport contract suite over rc_verbs, with its server on rxe1 and its client on rxe0.

contract_rc() {
  local before status=0
  before=$(frames_of veth0)
  # Both ends are one process: it may use both devices, and rdma_cm takes the one that the route names.
  DPU_TEST_RC_ADDR=$ADDRESS_B:0 DPU_TEST_PATIENCE_S=120 UCX_NET_DEVICES=rxe0:1,rxe1:1 \
    timeout 600 "$CONTRACT" --test-threads=1 rc:: >"$OUT/contract.log" 2>&1 || status=$?
  fact contract_passed "$(grep -c '^test rc::.* ok$' "$OUT/contract.log")"
  fact contract_failed "$(sed -n 's/^test rc::\(.*\) \.\.\. FAILED$/\1/p' "$OUT/contract.log" | tr '\n' ' ')"
  fact contract_wire_frames "$(($(frames_of veth0) - before))"
  say "$(grep '^test result' "$OUT/contract.log" | tail -n 1)"
  [ $status -eq 0 ] || fail "the contract suite over rc_verbs ended with $status; see contract.log"
}

contract_rc
