//! A server that answers each request with the bytes of its body: what HTTP alone costs on a machine.
//!
//! Decides nothing. `scripts/overhead.py` measures the sidecar beside it: the same library, the same options of
//! its connections and as many threads, but no routes, no limits and no model.

use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// Answers each request with the bytes of its body.
#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(args.listen))
}

/// Prints the address taken, and serves it for ever.
async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    let served = match stream.set_nodelay(true) {
        Ok(()) => {
            let io = TokioIo::new(stream);
            http1::Builder::new().pipeline_flush(true).serve_connection(io, service_fn(echo)).await
        }
        Err(error) => return eprintln!("TCP_NODELAY was refused: {error}"),
    };
    if let Err(error) = served {
        eprintln!("a connection ended: {error}");
    }
}

async fn echo(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}
