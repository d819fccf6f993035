//! Exactly one handshake a connection, full or resumed, and nothing else.

use crate::connect::Connector;
use crate::options::Options;
use crate::round::{Job, Sample};
use crate::tickets::Tickets;
use crate::{fault, Fault};
use rustls::HandshakeKind;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For the server's end of a connection that we have closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// One sequence of handshakes with tickets of its own.
pub struct Handshakes {
    connector: Connector,
    index: usize,
    resumed: bool,
    /// The first has no ticket yet.
    first: bool,
}

impl Handshakes {
    /// # Errors
    /// Options that are not as they should be.
    pub fn of(options: &Options, index: usize) -> Result<Self, Fault> {
        let resumed = options.or("resumed", false)?;
        let tickets = Arc::new(Tickets::new(resumed));
        let connector = Connector::of(options, Some(tickets), true)?;
        Ok(Self { connector, index, resumed, first: true })
    }
}

impl Job for Handshakes {
    /// Over when the server has closed too: then it has checked our Finished, sent its tickets and forgotten us.
    async fn once(&mut self) -> Result<Sample, Fault> {
        self.index += 1;
        let mut tls = self.connector.tls(self.index).await?;
        let kind = tls.get_ref().1.handshake_kind();
        let expected = if self.resumed && !self.first { HandshakeKind::Resumed } else { HandshakeKind::Full };
        if kind != Some(expected) {
            return Err(format!("the handshake is {kind:?} instead of {expected:?}"));
        }
        self.first = false;
        tls.shutdown().await.map_err(fault("close"))?;
        let mut rest = [0; 64];
        let end = tokio::time::timeout(CLOSE_TIMEOUT, tls.read(&mut rest)).await;
        match end.map_err(fault("the server does not close"))? {
            // It may close without a close_notify: everything that was to come has come.
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            other => return Err(format!("{other:?} instead of the end")),
        }
        Ok(Sample { units: 1 })
    }
}
