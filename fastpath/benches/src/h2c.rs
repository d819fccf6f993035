//! HTTP/2: several requests at once on one connection.

use crate::connect::Connector;
use crate::round::{Job, Sample};
use crate::work::Work;
use crate::{fault, Fault};
use h2::client::SendRequest;
use http::Request;
use std::rc::Rc;

use bytes::Bytes;

/// One of the streams of a connection.
pub struct Lane {
    send: SendRequest<Bytes>,
    work: Rc<Work>,
    turn: usize,
}

/// A connection's lanes. Its own task ends with the program; a connection that ends early shows in its lanes.
///
/// # Errors
/// No connection, no HTTP/2.
pub async fn lanes(
    connector: &Connector,
    index: usize,
    count: usize,
    work: &Rc<Work>,
) -> Result<Vec<Lane>, Fault> {
    let io = connector.tls(index).await?;
    if io.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err("the server did not choose h2".to_owned());
    }
    let (send, connection) = h2::client::handshake(io).await.map_err(fault("h2"))?;
    tokio::task::spawn_local(connection);
    let lane = |lane| Lane { send: send.clone(), work: Rc::clone(work), turn: index * count + lane };
    Ok((0..count).map(lane).collect())
}

impl Lane {
    fn request(&self) -> Result<Request<()>, Fault> {
        let request = Request::post(format!("https://localhost{}", self.work.path))
            .header("authorization", format!("Bearer {}", self.work.key(self.turn)))
            .header("content-type", "application/json")
            .header("content-length", self.work.body.len())
            .header("user-agent", "dpu-load");
        request.body(()).map_err(fault("request"))
    }
}

impl Job for Lane {
    async fn once(&mut self) -> Result<Sample, Fault> {
        let request = self.request()?;
        self.turn += 1;
        let mut send = self.send.clone().ready().await.map_err(fault("stream"))?;
        let (answer, mut body) = send.send_request(request, false).map_err(fault("send"))?;
        body.send_data(self.work.body.clone(), true).map_err(fault("send"))?;
        let answer = answer.await.map_err(fault("answer"))?;
        let (status, mut body) = (answer.status().as_u16(), answer.into_body());
        let mut whole = Vec::with_capacity(1024);
        while let Some(part) = body.data().await {
            let part = part.map_err(fault("answer's body"))?;
            whole.extend_from_slice(&part);
            body.flow_control().release_capacity(part.len()).map_err(fault("window"))?;
        }
        self.work.check_whole(status, &whole)?;
        Ok(Sample { units: 1 })
    }
}
