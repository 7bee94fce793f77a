//! A calendar whose id its service has changed (fault catalogue 20): it is the old one if most of what is in it is what we know.
//!
//! Invariant: nothing is deleted for it, here or there. A calendar that only bears the same name is a new one.

use std::collections::HashSet;

use super::Engine;
use super::pull::PullError;
use super::record::{self, CURSORS};
use crate::account::{Alike, Refreshed};
use crate::id::AccountId;
use crate::provider::{Fault, Position, Provider, Then};
use crate::store::Batch;

impl Engine {
    /// Settles which calendars are the missing ones that they are like, and notes them as changed; all others become new.
    pub(super) async fn settle_alike(&self, account: &AccountId, refreshed: &mut Refreshed) -> Result<(), PullError> {
        let alike = std::mem::take(&mut refreshed.alike);
        if alike.is_empty() {
            return Ok(());
        }
        let provider = self.providers.provider(account).await.map_err(PullError::from)?;
        for one in alike {
            if self.is_same(&*provider, &one).await? {
                tracing::warn!(account.id = %account, source.id = %one.source, "the provider has changed a calendar's id; it goes on under the new one");
                self.rebind(&*provider, account, &one).await?;
                refreshed.missing.retain(|missing| *missing != one.source);
                refreshed.changed.push(one.source);
            } else {
                let added = self.accounts.add_calendar(account, &one.calendar).await;
                refreshed.new.extend(added.map_err(PullError::from)?);
            }
        }
        Ok(())
    }

    /// Whether the calendar has what the source has: more than half of what it lists first is known. Two empty ones are the same.
    async fn is_same(&self, provider: &dyn Provider, alike: &Alike) -> Result<bool, PullError> {
        let known: HashSet<_> =
            record::links(&*self.store, &alike.source).await?.into_iter().map(|one| one.remote).collect();
        let mut from = Position::Start;
        for _ in 0..EMPTY_PAGES {
            let page = match provider.changes(&alike.calendar.id, &from).await {
                Ok(page) => page,
                Err(Fault::CalendarGone | Fault::Gone | Fault::Forbidden(_) | Fault::Refused(_)) => return Ok(false),
                Err(fault) => return Err(fault.into()),
            };
            if !page.items.is_empty() {
                let there = page.items.iter().filter(|item| known.contains(item.id())).count();
                return Ok(there * 2 > page.items.len());
            }
            match page.then {
                Then::Next(token) => from = Position::Next(token),
                Then::Done(_) => break,
            }
        }
        Ok(known.is_empty())
    }

    async fn rebind(&self, provider: &dyn Provider, account: &AccountId, alike: &Alike) -> Result<(), PullError> {
        self.unwatch_source(provider, account, &alike.source).await?;
        // Before the source stands for the new one: a cursor of the old calendar must never be shown to it.
        let mut batch = Batch::new();
        CURSORS.delete(&mut batch, &alike.source);
        self.store.commit(batch).await.map_err(crate::calendar::PutError::from)?;
        self.confirmed.doubt(&alike.source);
        self.accounts.rebind(alike).await.map_err(PullError::from)
    }
}

/// Pages without an item after which a calendar counts as empty. Graph tells of the items of a round with its last page.
const EMPTY_PAGES: usize = 1_000;
