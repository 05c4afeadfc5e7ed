//! `/metrics` (Prometheus) and `/health`, on a port and a thread of their own: nothing here runs on a data core.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Metrics;

/// Binds the endpoint and serves it on a side thread until the process ends.
///
/// # Errors
/// When the address can't be bound or the thread not be started.
pub fn start(address: SocketAddr, metrics: Arc<Metrics>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        runtime.block_on(async {
            let served = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, routes(metrics)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(%error, "the metrics endpoint has stopped");
            }
        });
    })?;
    Ok(bound)
}

fn routes(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(render)).route("/health", get(health)).with_state(metrics)
}

/// With the type that Prometheus names its text format by; since its version 3 it wants that.
async fn render(State(metrics): State<Arc<Metrics>>) -> Result<impl IntoResponse, (StatusCode, String)> {
    let text = metrics.render();
    text.map(|text| ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// 200 once requests are served, 503 while starting or stopping.
async fn health(State(metrics): State<Arc<Metrics>>) -> (StatusCode, &'static str) {
    if metrics.ready.get() == 1 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn health_follows_readiness() {
        let metrics = Metrics::new();
        let address = start((Ipv4Addr::LOCALHOST, 0).into(), metrics.clone()).unwrap();
        for (ready, expected) in [(0, "HTTP/1.1 503"), (1, "HTTP/1.1 200"), (0, "HTTP/1.1 503")] {
            metrics.ready.set(ready);
            assert!(get(address, "/health").starts_with(expected));
        }
        let answer = get(address, "/metrics");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\nslipring_ready 0\n"));
        assert!(get(address, "/").starts_with("HTTP/1.1 404"));
    }
}
