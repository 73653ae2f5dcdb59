//! Closed loops of requests that must all be answered.

use crate::harness::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// Connections, half of them HTTP/1.1, and half of each OpenAI's protocol.
const CONNECTIONS: usize = 32;
const TEXTS: [&str; 5] = [
    "red",
    "green lake",
    "blue sun rain",
    "snow road lake red sun green",
    "rain rain rain sun sun road lake snow blue",
];

/// Requests that come until they are stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    loops: Vec<JoinHandle<usize>>,
}

impl Load {
    pub(super) fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |number: usize| {
            let client = if number.is_multiple_of(2) { server.http1() } else { server.http2() };
            let client = if number % 8 < 4 { client.tenant("acme") } else { client };
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut asked, mut generation) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let text = TEXTS[(asked + number) % TEXTS.len()];
                    let answer = match number % 4 {
                        0 | 1 => client.embed("tiny", text).await.ok(),
                        _ => client.infer_texts("tiny", &[text]).await.ok(),
                    };
                    let now = answer.batch().generation;
                    assert!(now >= generation, "generation {now} after {generation}");
                    generation = now;
                    asked += 1;
                }
                asked
            })
        };
        let loops = (0..CONNECTIONS).map(ask).collect();
        Self { stop, loops }
    }

    /// Stops asking; answers how many requests were answered.
    ///
    /// # Panics
    /// When one was not.
    pub(super) async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for asked in self.loops {
            answered += asked.await.unwrap();
        }
        answered
    }
}
