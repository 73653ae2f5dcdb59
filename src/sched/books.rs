//! The books: how items enter and leave the lanes, and how requests end.

use super::event::{FailReason, Output};
use super::model::ModelState;
use super::scheduler::Scheduler;
use super::strategy::Rule;
use super::table::{NONE, Status};
use crate::types::{ModelId, ShapeClass};

impl Scheduler {
    /// Puts a waiting item, whose lane and key are set, into its lane.
    pub(super) fn enqueue(&mut self, model: ModelId, slot: u32, class: ShapeClass) {
        let Some(state) = self.models.get_mut(&model) else {
            return;
        };
        let item = self.table.item(slot);
        state.bytes += u64::from(item.bytes);
        state.largest = state.largest.max(u64::from(item.bytes));
        state.dirty = true;
        let ModelState { lanes, learned, home, turn, grid, limits, .. } = state;
        let Some(known) = learned.get(home.slot) else { return };
        let lane = &mut lanes[item.lane as usize];
        let brief = Rule::of(&lane.policy, limits.batchable).brief;
        let terms = known.terms(home.slot, &lane.policy, brief, home.busy, self.policies.generation);
        lane.push((slot, class), *grid, &terms, (*turn, self.now), &mut self.table);
    }

    /// Takes a waiting item out of its lane; its new status says where it went.
    pub(super) fn dequeue(&mut self, model: ModelId, slot: u32, status: Status) {
        self.table.item_mut(slot).status = status;
        let Some(state) = self.models.get_mut(&model) else {
            return;
        };
        let item = self.table.item(slot);
        state.bytes -= u64::from(item.bytes);
        let grid = state.grid;
        state.lanes[item.lane as usize].remove(slot, grid, &self.table);
    }

    /// Ends a request without an answer from the schedule.
    pub(super) fn kill(&mut self, request: u32) {
        let slot = &mut self.table.requests[request as usize];
        if slot.dead {
            return;
        }
        slot.dead = true;
        let model = slot.model;
        let mut next = slot.first;
        while next != NONE {
            let current = next;
            let item = self.table.item(current);
            next = item.next;
            match item.status {
                Status::Waiting => {
                    self.dequeue(model, current, Status::Dead);
                    if self.table.end_item(current) {
                        return;
                    }
                }
                Status::Pinned | Status::Running => self.table.item_mut(current).status = Status::Dead,
                Status::Dead | Status::Done => {}
            }
        }
    }

    /// Ends a request and says so.
    pub(super) fn fail(&mut self, request: u32, reason: FailReason) {
        let slot = self.table.request(request);
        if !slot.dead {
            self.outputs.push_back(Output::Fail { request: slot.id, reason });
            self.kill(request);
        }
    }

    pub(super) fn fail_all(&mut self, model: ModelId, reason: FailReason) {
        let of_model: Vec<u32> =
            self.table.requests.iter().filter(|(_, r)| r.model == model).map(|(slot, _)| slot as u32).collect();
        for request in of_model {
            self.fail(request, reason);
        }
    }
}
