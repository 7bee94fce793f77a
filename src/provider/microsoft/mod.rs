//! One Microsoft 365 or Outlook.com account, through Microsoft Graph v1.0 (providers.md 4, 5), as a provider.
//!
//! The parts: `wire` are the members of an event as Graph writes them; `zone`, `times`, `recurrence`, `body` translate
//! one matter each; `write` makes of an object what Graph holds, `read` the object again; `parts` tells what differs;
//! `stash` keeps with the event what Graph has no room for.

mod body;
mod parts;
mod read;
mod recurrence;
mod refusal;
mod stash;
mod times;
mod wire;
mod write;
mod zone;

#[cfg(test)]
mod tests;
