"""P4Runtime: packet tables as its entities, a client, and a server. Alone in importing its generated types."""
