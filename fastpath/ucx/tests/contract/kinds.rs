//! Each kind of transport is carried by what it promises, and says so.

use crate::world::World;
use crate::{Factory, Ucx};
use dpu_ucx::{Transport, TransportError, TransportKind};

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
fn ipv6_is_refused_where_ucx_would_overrun_its_heap() {
    let address = "[::1]:0".parse().unwrap();
    for kind in [TransportKind::Shm, TransportKind::Tcp, TransportKind::Auto] {
        let mut transport = Ucx(kind, address).make();
        let words = [transport.listen(address).map(|_| ()), transport.connect(address).map(|_| ())];
        for refused in words {
            assert!(
                matches!(&refused, Err(TransportError::Failed(why)) if why.contains("IPv4")),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn kinds_have_the_names_of_the_configuration() {
    for name in ["auto", "shm", "tcp", "rc"] {
        assert_eq!(name.parse::<TransportKind>().unwrap().name(), name);
    }
    assert!("rdma".parse::<TransportKind>().is_err());
}
