//! Each kind of transport is carried by what it promises, and says so.

use crate::world::World;
use crate::Ucx;
use dpu_ucx::TransportKind;

#[test]
fn each_kind_is_carried_by_what_it_promises() {
    let table =
        [(TransportKind::Shm, "posix"), (TransportKind::Tcp, "tcp/lo"), (TransportKind::Auto, "posix")];
    for (kind, name) in table {
        let world = World::ready(&Ucx(kind, "127.0.0.1:0".parse().unwrap()));
        assert_eq!(world.client.state(0).unwrap().transport, name, "{}", kind.name());
    }
}

#[test]
fn ipv6_addresses_work() {
    for kind in [TransportKind::Shm, TransportKind::Tcp] {
        World::ready(&Ucx(kind, "[::1]:0".parse().unwrap()));
    }
}

#[test]
fn kinds_have_the_names_of_the_configuration() {
    for name in ["auto", "shm", "tcp", "rc"] {
        assert_eq!(name.parse::<TransportKind>().unwrap().name(), name);
    }
    assert!("rdma".parse::<TransportKind>().is_err());
}
