//! The brake on mass deletion: a provider that suddenly lacks much is more often broken than emptied.

use serde::{Deserialize, Serialize};

/// How many deletions from one source in one round are believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MassDelete {
    /// This many are always believed.
    pub count: usize,
    /// So is this share of what the source holds.
    pub fraction: f64,
}

impl Default for MassDelete {
    fn default() -> Self {
        Self { count: 10, fraction: 0.2 }
    }
}

/// How a round says that objects are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The provider named each of them.
    Told,
    /// A complete listing lacks them.
    Absent,
}

/// What becomes of the deletions of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    /// They are carried out.
    Open,
    /// They are carried out if a second listing agrees.
    Verify,
    /// They are held until a second listing agrees and a person confirms.
    Held,
}

/// Judges `deletions` out of `known` objects of a source. More than the larger of the two limits is held. A
/// listing that lacks everything is asked for twice however little that was: an empty answer is the commonest lie.
pub(super) fn guard(deletions: usize, known: usize, proof: Proof, limits: &MassDelete) -> Brake {
    #[expect(clippy::cast_precision_loss, reason = "a share of a number of events needs no more than 52 bits")]
    let (share, deleted) = ((known as f64) * limits.fraction, deletions as f64);
    if deletions > limits.count && deleted > share {
        Brake::Held
    } else if proof == Proof::Absent && deletions > 0 && deletions >= known {
        Brake::Verify
    } else {
        Brake::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_count_and_share_counts() {
        let limits = MassDelete::default();
        let table = [
            (0, 0, Brake::Open),
            (10, 40, Brake::Open),
            (11, 40, Brake::Held),
            (11, 54, Brake::Held),
            (11, 55, Brake::Open),
            (11, 1000, Brake::Open),
            (200, 1000, Brake::Open),
            (201, 1000, Brake::Held),
            (12, 12, Brake::Held),
        ];
        for (deletions, known, wanted) in table {
            for proof in [Proof::Told, Proof::Absent] {
                assert_eq!(guard(deletions, known, proof, &limits), wanted, "{deletions} of {known}");
            }
        }
    }

    #[test]
    fn an_empty_listing_is_asked_for_twice() {
        let limits = MassDelete::default();
        assert_eq!(guard(1, 1, Proof::Absent, &limits), Brake::Verify);
        assert_eq!(guard(3, 3, Proof::Absent, &limits), Brake::Verify);
        assert_eq!(guard(3, 3, Proof::Told, &limits), Brake::Open);
        assert_eq!(guard(2, 3, Proof::Absent, &limits), Brake::Open);
    }
}
