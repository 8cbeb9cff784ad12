//! The HTTP server for monitoring: `GET /metrics` returns the metrics, `GET /healthz` checks that rcptd is
//! up.
//!
//! A connection serves one request and lasts [`CONNECTION`] at most, however slowly its client reads or
//! writes. At most [`CONNECTIONS`] are open at once; further ones wait to be accepted. So a misbehaving
//! scraper uses a bounded number of sockets and does not affect the mail.

use super::listen::{Listener, Stream};
use crate::observe::Metrics;
use crate::observe::openmetrics::{CONTENT_TYPE, text};
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION as CONNECTION_HEADER, CONTENT_TYPE as CONTENT_TYPE_HEADER};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Sleep, sleep};

/// Most connections at once. A site has a few monitoring systems, and each sends a request every few
/// seconds.
pub const CONNECTIONS: usize = 32;
/// Longest life of a connection: reading the request, answering it and sending the reply. Scrapers have a
/// limit of 10 s by default (Prometheus, `scrape_timeout`).
pub const CONNECTION: Duration = Duration::from_secs(10);
/// How long open connections may take to end at shutdown. An incomplete scrape does no harm.
pub const STOP: Duration = Duration::from_millis(500);

/// Serves a listener until `stop` completes. Then it accepts no more connections, and pending replies have
/// [`STOP`] to be sent.
pub async fn serve(
    listener: Listener,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        stop.await;
        // Fails if the server has already ended.
        let _ = stopping.send(());
    };
    let accept =
        Accept { name: listener.name().clone(), listener, free: Arc::new(Semaphore::new(CONNECTIONS)) };
    let late = async {
        let _ = stopped.await;
        sleep(STOP).await;
    };
    tokio::select! {
        served = axum::serve(accept, router(metrics)).with_graceful_shutdown(stop) => served,
        () = late => Ok(()),
    }
}

fn router(metrics: Arc<Metrics>) -> Router {
    let metrics = async move || ([(CONTENT_TYPE_HEADER, CONTENT_TYPE)], text(&metrics));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(map_response(close))
}

/// Adds `Connection: close`: connections do not live long enough to be reused.
async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION_HEADER, HeaderValue::from_static("close"));
    response
}

/// Accepts connections up to the limit.
struct Accept {
    listener: Listener,
    name: Arc<str>,
    free: Arc<Semaphore>,
}

impl axum::serve::Listener for Accept {
    type Io = Limited;
    type Addr = Arc<str>;

    async fn accept(&mut self) -> (Limited, Arc<str>) {
        // The semaphore is never closed; `None` would mean that the limit does not apply.
        let place = self.free.clone().acquire_owned().await.ok();
        let stream = poll_fn(|cx| self.listener.poll_accept(cx)).await;
        (Limited { stream, end: Box::pin(sleep(CONNECTION)), _place: place }, self.name.clone())
    }

    fn local_addr(&self) -> io::Result<Arc<str>> {
        Ok(self.name.clone())
    }
}

/// A connection whose reads and writes fail after its deadline.
struct Limited {
    stream: Stream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Limited {
    /// Fails after the deadline; before it, registers the task to be woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Limited {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Limited {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::listen::{Inherited, SocketFile, bind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, timeout};

    /// Starts a server; returns its address, the sender that stops it, and its task.
    async fn server() -> (String, oneshot::Sender<()>, JoinHandle<io::Result<()>>) {
        let endpoint = "inet:127.0.0.1:0".parse().unwrap();
        let file = SocketFile { mode: 0o600, group: None };
        let listener = bind(&endpoint, &file, &mut Inherited::from_env()).await.unwrap().remove(0);
        let address = listener.name().strip_prefix("inet:").unwrap().to_owned();
        let (stop, stopped) = oneshot::channel();
        let metrics = Arc::new(Metrics::default());
        metrics.map("over http");
        let serving = tokio::spawn(serve(listener, metrics, async {
            let _ = stopped.await;
        }));
        (address, stop, serving)
    }

    async fn ask(address: &str, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Read to the end: the server closes the connection after one reply.
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn serves_metrics_and_health_over_http() {
        let (address, _stop, _) = server().await;
        let (head, body) = ask(&address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(
            head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{head}"
        );
        assert!(body.contains(r#"rcptd_map_requests_total{map="over http",result="found"} 0"#), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
        let (head, body) = ask(&address, "GET /healthz HTTP/1.0\r\n\r\n").await;
        assert!(head.contains(" 200 ok"), "{head}");
        assert_eq!(body, "ok\n");
        for (request, want) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http/1.1 404 "),
            ("GET /metrics/x HTTP/1.1\r\nHost: x\r\n\r\n", "http/1.1 404 "),
            ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "http/1.1 405 "),
            ("get foo\r\n\r\n", "http/1.1 400 "),
        ] {
            let (head, _) = ask(&address, request).await;
            assert!(head.starts_with(want), "{request}: {head}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn closes_connections_of_slow_clients() {
        let (address, _stop, _) = server().await;
        let begun = Instant::now();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // One header a second, without end.
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        let mut buf = [0; 100];
        loop {
            match timeout(Duration::from_secs(1), stream.read(&mut buf)).await {
                Err(_) => drop(stream.write_all(b"X: y\r\n").await),
                Ok(read) => break assert!(matches!(read, Ok(0) | Err(_)), "{read:?}"),
            }
        }
        assert!((CONNECTION..CONNECTION * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait() {
        let (address, _stop, _) = server().await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(TcpStream::connect(&address).await.unwrap());
        }
        let asked = ask(&address, "GET /healthz HTTP/1.0\r\n\r\n");
        tokio::pin!(asked);
        assert!(timeout(Duration::from_millis(200), &mut asked).await.is_err(), "served beyond the limit");
        idle.pop();
        let answer = timeout(Duration::from_secs(5), asked).await.expect("a place was free");
        assert_eq!(answer.1, "ok\n");
    }

    #[tokio::test]
    async fn stops_with_an_open_connection() {
        let (address, stop, serving) = server().await;
        let mut half = TcpStream::connect(&address).await.unwrap();
        half.write_all(b"GET /metrics HT").await.unwrap();
        // Ensures that the open connection has been accepted.
        ask(&address, "GET /healthz HTTP/1.0\r\n\r\n").await;
        stop.send(()).unwrap();
        let served = timeout(Duration::from_secs(5), serving).await.expect("stops in time");
        assert!(served.unwrap().is_ok());
        assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
    }
}
