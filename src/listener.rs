//! What the listeners of both planes share.
//!
//! Decides how connections are taken, and what happens when one cannot be. Knows no protocol and no route.

mod heads;

use crate::clock::{self, Seldom};
use axum::body::{Body, Bytes};
pub use heads::{Explained, FirstRequest};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Pause after an accept that failed for want of file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Lets a warning through now and then: the want lasts as long as it lasts.
static NOT_ACCEPTED: Seldom = Seldom::new(Duration::from_secs(10));
/// The same for want of a place.
static NO_PLACE: Seldom = Seldom::new(Duration::from_secs(10));

/// A place among the connections of a listener, given back on drop.
pub type Place = OwnedSemaphorePermit;

/// Hands every connection that comes to `take`, until `shutdown` completes; then closes the listener.
///
/// While `most` of them hold their [`Place`], the next ones wait in the system's queue.
pub async fn accept(
    listener: TcpListener,
    most: usize,
    shutdown: impl Future<Output = ()>,
    mut take: impl FnMut(TcpStream, SocketAddr, Place),
) {
    let address = listener.local_addr().ok();
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let mut shutdown = pin!(shutdown);
    loop {
        if places.available_permits() == 0
            && let Some(withheld) = NO_PLACE.pass(clock::now())
        {
            tracing::warn!(?address, most, withheld, "as many connections as there may be: the next ones wait");
        }
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = next(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => take(stream, peer, place),
            Err(error) if concerns_one(&error) => {}
            Err(error) => {
                if let Some(withheld) = NOT_ACCEPTED.pass(clock::now()) {
                    tracing::warn!(?address, %error, withheld, "connections cannot be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The next connection, once there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, Place)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Whether an error is that of one connection; others (no descriptors left) pass with time.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The same body, which keeps `held` until it is read to its end or dropped.
pub fn holding<H: Send + 'static>(inner: Body, held: H) -> Body {
    Body::new(Holding { inner, held })
}

pin_project! {
    /// A body and what it holds.
    struct Holding<H> {
        #[pin]
        inner: Body,
        held: H,
    }
}

impl<H> HttpBody for Holding<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_is_no_fault_of_one_connection() {
        assert!(concerns_one(&io::ErrorKind::ConnectionAborted.into()));
        let too_many_open_files = io::Error::from_raw_os_error(24);
        assert!(!concerns_one(&too_many_open_files));
    }

    #[tokio::test]
    async fn connections_beyond_the_places_wait_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, mut told) = tokio::sync::mpsc::unbounded_channel();
        let take = move |_, peer: SocketAddr, place| taken.send((peer, place)).unwrap();
        let accepting = tokio::spawn(accept(listener, 2, std::future::pending(), take));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap().local_addr().unwrap());
        }
        let (first, second) = (told.recv().await.unwrap(), told.recv().await.unwrap());
        assert_eq!([first.0, second.0], clients[..2]);
        assert!(told.try_recv().is_err(), "a third was taken");
        drop(first);
        assert_eq!(told.recv().await.unwrap().0, clients[2]);
        accepting.abort();
    }

    #[tokio::test]
    async fn connections_are_taken_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (taken, mut told) = tokio::sync::mpsc::unbounded_channel();
        let accepting = accept(listener, 9, async { drop(stopped.await) }, move |_, peer, _| taken.send(peer).unwrap());
        let accepting = tokio::spawn(accepting);
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(told.recv().await, Some(client.local_addr().unwrap()));
        stop.send(()).unwrap();
        accepting.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
