//! The three kinds of account, and their owner at work in each.

use anyhow::{Context, Result, ensure};

use super::appointment::Appointment;
use super::google::Google;
use crate::client::Client;
use crate::microsoft::Simulator;
use crate::peer::{Kind, Peer};

/// The calendar of a CalDAV server.
#[derive(Debug)]
pub(super) struct Caldav {
    pub(super) peer: Peer,
    pub(super) client: Client,
    pub(super) made: u32,
}

/// An account at a provider.
#[derive(Debug)]
pub(super) enum Account {
    Google(Box<Google>),
    Microsoft(Simulator),
    Caldav(Box<Caldav>),
}

impl Account {
    /// As people call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Google(_) => "Google",
            Self::Microsoft(_) => "Microsoft",
            Self::Caldav(_) => "CalDAV",
        }
    }

    /// Makes an appointment there, or changes the one with this `id`.
    pub(super) async fn write(&mut self, id: Option<&str>, what: &Appointment) -> Result<String> {
        match self {
            Self::Google(google) => google.write(id, what.google()).await,
            Self::Microsoft(simulator) => simulator.write(id, &what.graph()),
            Self::Caldav(caldav) => caldav.write(id, what).await,
        }
    }

    /// Takes it away.
    pub(super) async fn remove(&mut self, id: &str) -> Result<()> {
        match self {
            Self::Google(google) => google.remove(id).await,
            Self::Microsoft(simulator) => {
                simulator.remove(id);
                Ok(())
            }
            Self::Caldav(caldav) => {
                let answer = caldav.client.send("DELETE", &path(id), &[], "").await?;
                ensure!(answer.status.is_success(), "DELETE {id}: {}", answer.status);
                Ok(())
            }
        }
    }

    /// Ends what serves it.
    pub(super) async fn stop(self) -> Result<()> {
        match self {
            Self::Google(google) => google.stop().await,
            // It ends with this program.
            Self::Microsoft(_) => Ok(()),
            Self::Caldav(caldav) => caldav.peer.stop().await,
        }
    }
}

impl Caldav {
    async fn write(&mut self, id: Option<&str>, what: &Appointment) -> Result<String> {
        let id = id.map_or_else(
            || {
                self.made += 1;
                format!("demo-{}", self.made)
            },
            ToOwned::to_owned,
        );
        self.client.put(&path(&id), what.ics(&id)).await.context("writing to Radicale")?;
        Ok(id)
    }
}

fn path(id: &str) -> String {
    format!("{}{id}.ics", Kind::Radicale.collection())
}
