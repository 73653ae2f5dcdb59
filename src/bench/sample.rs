//! The shapes of tensors that were named without one: those of the input that the server knows to run.
//!
//! Decides what is asked of the server, and which size stands in for one that is left open. Knows only the `sample`s of the
//! response.

use super::{ANSWER_TIMEOUT, Error, Options, Payload};
use crate::remote::Connection;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use std::io;
use tokio::time::timeout;

/// The longest description that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A model's own description: `GET /v2/models/M`.
#[derive(Debug, Deserialize)]
struct Metadata {
    inputs: Vec<Input>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    /// −1 where any size goes.
    shape: Vec<i64>,
    sample: Option<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    shape: Vec<u64>,
}

impl Input {
    /// One row of it: as the server runs it, or with 1 for every size that is left open.
    fn row(&self) -> Vec<u64> {
        let open = || self.shape.iter().map(|size| u64::try_from(*size).unwrap_or(1)).collect();
        self.sample.as_ref().map_or_else(open, |sample| sample.shape.clone())
    }
}

/// Gives every tensor its shape; asks the server where one has none.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Refused`] where the server does not describe the model, [`Error::Usage`] where the model
/// has no such input.
pub(super) async fn fit(mut options: Options) -> Result<Options, Error> {
    let Payload::Tensors(tensors) = &options.payload else { return Ok(options) };
    if tensors.iter().all(|tensor| tensor.is_shaped()) {
        return Ok(options);
    }
    let Metadata { inputs } = describe(&options).await?;
    let shaped = tensors.iter().map(|tensor| {
        if tensor.is_shaped() {
            return Ok(tensor.clone());
        }
        let input = inputs.iter().find(|input| input.name == tensor.name()).ok_or_else(|| {
            let names: Vec<&str> = inputs.iter().map(|input| &*input.name).collect();
            format!("the model has no input {:?}; it has {}", tensor.name(), names.join(", "))
        })?;
        tensor.of_shape(input.row())
    });
    let shaped = shaped.collect::<Result<_, String>>().map_err(|why| Error::Usage(format!("--tensor: {why}")))?;
    options.payload = Payload::Tensors(shaped);
    Ok(options)
}

async fn describe(options: &Options) -> Result<Metadata, Error> {
    let path = format!("/v2/models/{}", options.model);
    let uri = options.target.uri(&path).map_err(|_| Error::Usage(format!("not a model name: {:?}", options.model)))?;
    let mut request = Request::get(uri).header(HOST, options.target.host()).body(Full::<Bytes>::default());
    if let Ok(request) = &mut request {
        request.headers_mut().extend(options.headers.clone());
    }
    let request = request.map_err(|error| Error::Usage(error.to_string()))?;
    let unreachable = |source| Error::Unreachable { target: options.target.to_string(), source };
    let mut connection = Connection::new(options.target.clone());
    let exchange = async {
        let (head, body) = connection.send(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(io::Error::other)?;
        Ok((head.status, body.to_bytes()))
    };
    let late = |_| unreachable(io::ErrorKind::TimedOut.into());
    let (status, body) = timeout(ANSWER_TIMEOUT, exchange).await.map_err(late)?.map_err(unreachable)?;
    let refused = |what: String| Error::Refused(format!("GET {path}: {what}"));
    if status != StatusCode::OK {
        return Err(refused(format!("{status}: {}", String::from_utf8_lossy(&body))));
    }
    serde_json::from_slice(&body).map_err(|error| refused(format!("not a model's description: {error}")))
}
