//! What is when, for people: the occurrences of a person's calendars in a stretch of time, when they are busy, and what
//! an edit of one occurrence, of it and all later ones, or of a whole series makes of an event.
//!
//! Pages, JSON and feeds stand above and only choose how to say it. Never here: HTTP, providers, the way to write.

mod input;
mod occurrence;
mod query;
mod quick;
mod series;

pub use input::{Input, InputFault};
pub use occurrence::{Clockwork, Details, Label, Occurrence, Person, occurrences};
pub use query::{Asked, agenda, busy_times};
pub use quick::quick;
pub(crate) use series::repeats_on_fixed_days;
pub use series::{Outcome, Scope, Series};
