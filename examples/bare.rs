//! One session of ONNX Runtime as its own defaults have it, one row, and nothing else: what that takes of memory.
//!
//! Decides nothing. A test holds the sidecar beside it.

use clap::Parser;
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, ValueType};
use std::error::Error;
use std::path::PathBuf;

/// Makes a session, runs one row of ones, and prints the resident memory of this process in KiB.
#[derive(Debug, Parser)]
struct Args {
    /// ONNX Runtime's shared library
    #[arg(long)]
    onnxruntime_library: PathBuf,
    /// The graph; its inputs are INT64
    model: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let environment = ort::init_from(&args.onnxruntime_library)?.with_telemetry(false).build()?;
    let mut session = Session::builder(&environment)?.commit_from_file(&args.model)?;
    let ones = |shape: &[i64]| {
        let shape: Vec<i64> = shape.iter().zip([1, 16]).map(|(_, size)| size).collect();
        let count = shape.iter().product::<i64>();
        Tensor::from_array((shape, vec![1_i64; usize::try_from(count).unwrap_or(0)]))
    };
    let mut inputs: Vec<(String, SessionInputValue<'_>)> = Vec::new();
    for input in session.inputs() {
        if let ValueType::Tensor { shape, .. } = input.dtype() {
            inputs.push((input.name().to_owned(), ones(shape)?.into()));
        }
    }
    session.run(inputs)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    println!("{}", rss.trim().trim_end_matches(" kB"));
    Ok(())
}
