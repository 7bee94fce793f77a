//! One remote CalDAV account as a [`Provider`](super::Provider). (in building)
