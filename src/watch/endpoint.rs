//! `GET /metrics` while the run goes, and nothing else: a few connections at once, each short.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections at once; a scraper needs one.
const MOST_CONNECTIONS: usize = 8;
/// Longest life of a connection.
const CONNECTION: Duration = Duration::from_secs(10);
/// Time for a request's head.
const HEAD: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Pause when the system gives no connection, for want of files for example.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the endpoint as one of `tasks`; where that is not possible the run goes on without.
pub(super) async fn open<P>(tasks: &mut JoinSet<()>, address: SocketAddr, page: P)
where
    P: Fn() -> String + Send + Sync + 'static,
{
    match TcpListener::bind(address).await {
        Ok(listener) => {
            let address = listener.local_addr().unwrap_or(address);
            tracing::info!(%address, "metrics endpoint");
            tasks.spawn(serve(listener, Arc::new(page)));
        }
        Err(error) => {
            let why = error.kind();
            tracing::warn!(%why, "metrics.address cannot be listened on; the run goes on without the endpoint");
        }
    }
}

async fn serve<P>(listener: TcpListener, page: Arc<P>)
where
    P: Fn() -> String + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            drop(connections.join_next().await);
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(converse(stream, Arc::clone(&page)))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn converse<P>(stream: TcpStream, page: Arc<P>)
where
    P: Fn() -> String + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let page = Arc::clone(&page);
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), page.as_ref())) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD_BYTES).keep_alive(false);
    // A client that goes away or speaks nonsense costs its own connection.
    drop(tokio::time::timeout(CONNECTION, server.serve_connection(TokioIo::new(stream), service)).await);
}

fn answer(method: &Method, path: &str, page: &impl Fn() -> String) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET, "/metrics") => (StatusCode::OK, page()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}
