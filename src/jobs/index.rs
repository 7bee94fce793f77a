//! The queue in memory: what the rows say, arranged so that the next job is found at once.
//!
//! It is rebuilt from the rows whenever a commit did not go through, so it can be wrong only until then, and
//! every commit expects the rows that it was decided on. Lanes that can run stand in one line, each joining at
//! its end: that makes them take turns.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::lane::LaneRow;
use super::state::State;
use super::{DEAD, JOBS, Job, LANES};
use crate::store::Batch;

/// All jobs, lanes and dead letters; and the changes that are not committed yet.
#[derive(Debug, Default)]
pub(super) struct Index {
    jobs: BTreeMap<String, Job>,
    lanes: BTreeMap<String, Lane>,
    dead: BTreeMap<u64, Job>,
    /// Lanes that can run, by their turn.
    line: BTreeSet<(u64, String)>,
    /// Lanes that can run later.
    later: BTreeSet<(Timestamp, String)>,
    turns: u64,
    /// The time up to which lanes have joined the line.
    now: Timestamp,
    /// What the rows held before the present change.
    jobs_before: BTreeMap<String, Option<Job>>,
    lanes_before: BTreeMap<String, Option<LaneRow>>,
    dead_before: BTreeMap<u64, Option<Job>>,
}

#[derive(Debug, Default)]
struct Lane {
    row: LaneRow,
    /// Whether the row is in the store.
    stored: bool,
    keys: BTreeSet<String>,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Line(u64),
    Later(Timestamp),
}

impl Index {
    /// The index of these rows.
    pub(super) fn of(jobs: Vec<(String, Job)>, lanes: Vec<(String, LaneRow)>, dead: Vec<(u64, Job)>) -> Self {
        let mut index = Self { dead: dead.into_iter().collect(), ..Self::default() };
        for (name, row) in lanes {
            index.lanes.insert(name, Lane { row, stored: true, ..Lane::default() });
        }
        for (key, job) in jobs {
            index.put_job(&key, Some(job));
        }
        index.settle();
        index
    }

    pub(super) fn job(&self, key: &str) -> Option<&Job> {
        self.jobs.get(key)
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &Job> {
        self.dead.values()
    }

    pub(super) fn dead_letter(&self, id: u64) -> Option<&Job> {
        self.dead.get(&id)
    }

    /// The lane's record, or a new one.
    pub(super) fn lane(&self, name: &str) -> LaneRow {
        self.lanes.get(name).map(|lane| lane.row.clone()).unwrap_or_default()
    }

    pub(super) fn lane_jobs(&self, name: &str) -> impl Iterator<Item = &Job> {
        let keys = self.lanes.get(name).into_iter().flat_map(|lane| &lane.keys);
        keys.filter_map(|key| self.jobs.get(key))
    }

    /// Puts or takes away a job's row.
    pub(super) fn set_job(&mut self, key: &str, job: Option<Job>) {
        let before = self.jobs.get(key).cloned();
        self.jobs_before.entry(key.to_owned()).or_insert(before);
        self.put_job(key, job);
    }

    /// Puts or takes away a dead letter.
    pub(super) fn set_dead(&mut self, id: u64, job: Option<Job>) {
        let before = match job {
            Some(job) => self.dead.insert(id, job),
            None => self.dead.remove(&id),
        };
        self.dead_before.entry(id).or_insert(before);
    }

    /// Puts a lane's record.
    pub(super) fn set_lane(&mut self, name: &str, row: LaneRow) {
        let lane = self.lanes.entry(name.to_owned()).or_default();
        if lane.row == row {
            return;
        }
        let before = lane.stored.then(|| lane.row.clone());
        lane.row = row;
        lane.stored = true;
        self.lanes_before.entry(name.to_owned()).or_insert(before);
        self.place(name);
    }

    /// Takes the lane's record away. Its jobs must be gone before.
    pub(super) fn forget_lane(&mut self, name: &str) {
        self.unplace(name);
        if let Some(lane) = self.lanes.remove(name)
            && lane.stored
        {
            self.lanes_before.entry(name.to_owned()).or_insert(Some(lane.row));
        }
    }

    /// Lets the lanes whose time has come join the line.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some((at, _)) = self.later.first()
            && *at <= self.now
        {
            if let Some((_, name)) = self.later.pop_first() {
                self.join_line(&name);
            }
        }
    }

    /// The lane whose turn it is.
    pub(super) fn first_in_line(&self) -> Option<String> {
        self.line.first().map(|(_, name)| name.clone())
    }

    /// When the next lane can run; the beginning of time when one can already.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.line.is_empty() { self.later.first().map(|(at, _)| *at) } else { Some(Timestamp::MIN) }
    }

    /// When the lane can run next, held lanes never.
    pub(super) fn lane_due(&self, name: &str) -> Option<Timestamp> {
        let lane = self.lanes.get(name)?;
        if lane.row.hold.is_some() {
            return None;
        }
        let mut first: Option<Timestamp> = None;
        for job in self.lane_jobs(name) {
            match job.standing.state {
                // One job at a time: the lane can move on when this lease ends.
                State::Leased { until, .. } => return Some(until),
                State::Ready { at } => first = Some(first.map_or(at, |first| first.min(at))),
                State::Waiting { .. } | State::Dead { .. } => {}
            }
        }
        first.map(|at| lane.row.opens_at().map_or(at, |opens| at.max(opens)))
    }

    /// The pending changes as a batch that expects the rows as they were; `None` without changes.
    pub(super) fn pending(&self) -> Option<Batch> {
        let mut batch = Batch::new();
        for (key, before) in &self.jobs_before {
            match before {
                Some(before) => JOBS.expect(&mut batch, key, before),
                None => JOBS.expect_absent(&mut batch, key),
            }
            match self.jobs.get(key) {
                Some(job) => JOBS.put(&mut batch, key, job),
                None => JOBS.delete(&mut batch, key),
            }
        }
        for (name, before) in &self.lanes_before {
            match before {
                Some(before) => LANES.expect(&mut batch, name, before),
                None => LANES.expect_absent(&mut batch, name),
            }
            match self.lanes.get(name) {
                Some(lane) => LANES.put(&mut batch, name, &lane.row),
                None => LANES.delete(&mut batch, name),
            }
        }
        for (id, before) in &self.dead_before {
            if before.is_some() {
                DEAD.expect_present(&mut batch, id);
            }
            match self.dead.get(id) {
                Some(job) => DEAD.put(&mut batch, id, job),
                None => DEAD.delete(&mut batch, id),
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// The pending changes are in the store.
    pub(super) fn settle(&mut self) {
        self.jobs_before.clear();
        self.lanes_before.clear();
        self.dead_before.clear();
    }

    fn put_job(&mut self, key: &str, job: Option<Job>) {
        let old = match &job {
            Some(job) => self.jobs.insert(key.to_owned(), job.clone()),
            None => self.jobs.remove(key),
        };
        if let Some(old) = old
            && let Some(lane) = self.lanes.get_mut(&old.lane)
        {
            lane.keys.remove(key);
            self.place(&old.lane);
        }
        if let Some(job) = job {
            self.lanes.entry(job.lane.clone()).or_default().keys.insert(key.to_owned());
            self.place(&job.lane);
        }
    }

    /// Puts the lane where it belongs now. One that stands in line and still can run keeps its turn.
    fn place(&mut self, name: &str) {
        let due = self.lane_due(name);
        let runnable = due.is_some_and(|due| due <= self.now);
        let place = self.lanes.get(name).map(|lane| lane.place);
        if runnable && matches!(place, Some(Place::Line(_))) {
            return;
        }
        self.unplace(name);
        match due {
            Some(_) if runnable => self.join_line(name),
            Some(due) => {
                self.put_place(name, Place::Later(due));
                self.later.insert((due, name.to_owned()));
            }
            None => {}
        }
    }

    fn join_line(&mut self, name: &str) {
        self.turns += 1;
        self.put_place(name, Place::Line(self.turns));
        self.line.insert((self.turns, name.to_owned()));
    }

    fn unplace(&mut self, name: &str) {
        match self.put_place(name, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Line(turn) => {
                self.line.remove(&(turn, name.to_owned()));
            }
            Place::Later(at) => {
                self.later.remove(&(at, name.to_owned()));
            }
        }
    }

    fn put_place(&mut self, name: &str, place: Place) -> Place {
        self.lanes.get_mut(name).map(|lane| std::mem::replace(&mut lane.place, place)).unwrap_or_default()
    }
}
