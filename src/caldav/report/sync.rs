//! sync-collection (RFC 6578 3.2): what has changed since a token, from the change log.
//!
//! A calendar has no collections in it, so both sync levels mean the same. Depth 0 is what the RFC wants; 1 is what
//! Apple and Thunderbird send; infinity is refused. A home is not synced: Apple's clients fall back to its ctag.

use std::collections::VecDeque;
use std::sync::Arc;

use http::Response;

use crate::calendar::ChangesError;
use crate::dav::report::SyncCollection;
use crate::dav::{Depth, Precondition};
use crate::id::Place;

use super::super::answer::{Item, Items};
use super::super::body::Body;
use super::super::path::Path;
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn sync_collection(
        &self,
        request: &Request<'_>,
        sync: SyncCollection,
    ) -> Result<Response<Body>, Failure> {
        let Path::Calendar(id) = &request.path else { return Err(Precondition::SupportedReport.into()) };
        if Depth::read(request.headers)? == Some(Depth::Infinity) {
            return Err(Failure::Bad("sync-collection takes Depth 0; how deep it looks is said by DAV:sync-level."));
        }
        let row = Arc::new(self.collection(id).await?);
        let unknown = |_: ChangesError| Failure::from(Precondition::ValidSyncToken);
        let since = sync.token.as_deref().map(str::parse).transpose().map_err(unknown)?;
        let limit = sync.limit.unwrap_or(usize::MAX).min(self.settings.max_changes);
        let changes = self.calendars.changes(id, since.as_ref(), limit).await.map_err(|error| match error {
            ChangesError::UnknownToken => Precondition::ValidSyncToken.into(),
            ChangesError::Store(error) => Failure::store(error),
        })?;
        let mut items: VecDeque<Item> = VecDeque::with_capacity(changes.changed.len() + changes.gone.len() + 1);
        items.extend(changes.changed.into_iter().map(|entry| Item::Entry(row.clone(), entry)));
        items.extend(
            changes
                .gone
                .into_iter()
                .map(|name| Item::Gone(Path::Object(Place { collection: id.clone(), name }).href())),
        );
        if changes.truncated {
            items.push_back(Item::Truncated(request.path.href()));
        }
        let zone = self.zone(None, &row).await?;
        let ending = super::Ending { zone, token: Some(changes.token.to_string()) };
        self.tell(request, sync.asked, Items::Known(items), ending).await
    }
}
