//! `/metrics` (Prometheus) and `/health`, on a port and a thread of their own: nothing here runs on a data core.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
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

async fn render(State(metrics): State<Arc<Metrics>>) -> Result<String, (StatusCode, String)> {
    metrics.render().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// 200 once requests are served, 503 while starting or stopping.
async fn health(State(metrics): State<Arc<Metrics>>) -> (StatusCode, &'static str) {
    if metrics.ready.get() == 1 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
