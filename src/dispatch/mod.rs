//! Dispatch: the one task that owns a scheduler, and the handle callers wait on.
//!
//! Decides nothing about batches: it feeds events to the scheduler, keeps the payloads the scheduler
//! does not know of, and carries answers back.

mod changes;
mod decisions;
mod deliver;
mod driver;
mod fallbacks;
mod gate;
mod gauges;
mod health;
mod here;
mod learned;
mod pending;
mod record;
mod refusal;
mod report;
mod repository;
mod watch;
mod workers;

pub use decisions::{Decision, Decisions, MOST as MOST_DECISIONS, Member, Outcome};
pub use driver::Driver;
pub use gate::{Gate, Permit};
pub use learned::{CostState, LearnedCost};
pub use record::models as recorded_models;
pub use report::{
    CostReport, CurveReport, DeviceCondition, ModelReport, Point, Queue, Report, WorkerDoes, WorkerReport,
};
pub use repository::{Fresh, Repository, Source};
pub use workers::{Start, WorkerPlan};

use crate::clock;
use crate::error::Error;
use crate::exec::{WorkerEvent, WorkerHandle};
use crate::model::Model;
use crate::policy::PolicySet;
use crate::request::{InferReply, InferRequest};
use crate::trace::Recorder;
use crate::types::{DeviceId, RequestId, Time, WorkerId};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// Arrivals that may wait for the driver itself; it takes microseconds to empty.
const ARRIVALS: usize = 1024;

/// A request on its way to the driver.
struct Arriving {
    id: RequestId,
    request: Arc<InferRequest>,
    /// When it was decoded.
    decoded: Time,
    /// For log lines about it.
    span: tracing::Span,
    reply: oneshot::Sender<Result<InferReply, Error>>,
}

/// Everything else the driver is told.
#[derive(Debug)]
enum Control {
    Cancel(RequestId),
    Worker { worker: WorkerId, start: u64, event: WorkerEvent },
    Restart(WorkerId),
    Device(DeviceId, DeviceCondition),
    DeviceLost(DeviceId, String),
    Policies(Arc<PolicySet>),
    Tenants(Arc<BTreeSet<Arc<str>>>),
    Started(Arc<Model>, changes::Reply),
    Enlist(changes::Newcomer, changes::Reply),
    Unload(Arc<Model>, changes::Reply),
    Retire(Arc<Model>, oneshot::Sender<Vec<WorkerHandle>>),
    Report(oneshot::Sender<Report>),
    Learned(oneshot::Sender<Vec<LearnedCost>>),
    Drain,
}

/// Where the front hands in requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    arrivals: mpsc::Sender<Arriving>,
    control: mpsc::UnboundedSender<Control>,
    gate: Arc<Gate>,
    decisions: Arc<Decisions>,
    recorder: Arc<Recorder>,
    /// Set when the driver ends.
    last_learned: Arc<OnceLock<Vec<LearnedCost>>>,
    next: Arc<AtomicU64>,
}

impl Handle {
    /// Queues a request and waits for its answer.
    ///
    /// # Errors
    /// Every refusal of docs/interface.md that the scheduler or the model can give.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request: a waiting row is never computed.
    pub async fn infer(&self, request: InferRequest) -> Result<InferReply, Error> {
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let (request, span) = (Arc::new(request), tracing::Span::current());
        let arriving = Arriving { id, request, decoded: clock::now(), span, reply };
        self.arrivals.send(arriving).await.map_err(|_| gate::draining())?;
        let guard = CancelOnDrop { handle: self, id };
        let answer = answer.await;
        std::mem::forget(guard);
        answer.unwrap_or_else(|_| Err(gate::draining()))
    }

    /// The gate that guards decoding.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The batches that ended last.
    #[must_use]
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// A picture of the driver as it is now; `None` once it has ended.
    pub async fn report(&self) -> Option<Report> {
        let (reply, answer) = oneshot::channel();
        self.tell(Control::Report(reply));
        answer.await.ok()
    }

    /// What records arrivals, those that are refused too. A drain closes it.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Swaps the policies; what waits moves under the new ones.
    pub fn set_policies(&self, policies: Arc<PolicySet>) {
        self.tell(Control::Policies(policies));
    }

    /// Tells which tenants have an account of their own although no policy names them.
    pub fn set_tenants(&self, tenants: Arc<BTreeSet<Arc<str>>>) {
        self.tell(Control::Tenants(tenants));
    }

    /// Tells how a device is; holds until told otherwise.
    pub fn set_device_condition(&self, device: DeviceId, condition: DeviceCondition) {
        self.tell(Control::Device(device, condition));
    }

    /// Takes every worker of a device out of service, with `message` for the log; each is started again
    /// after a while.
    pub fn device_lost(&self, device: DeviceId, message: String) {
        self.tell(Control::DeviceLost(device, message));
    }

    /// Stops accepting; the driver ends once nothing waits and nothing runs.
    pub fn drain(&self) {
        self.gate.close();
        self.recorder.close();
        self.tell(Control::Drain);
    }

    /// Tells the driver, unless it has ended: then there is nothing left to tell.
    fn tell(&self, control: Control) {
        drop(self.control.send(control));
    }
}

/// Cancels a request whose caller went away.
struct CancelOnDrop<'a> {
    handle: &'a Handle,
    id: RequestId,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.handle.tell(Control::Cancel(self.id));
    }
}

#[cfg(test)]
mod tests;
