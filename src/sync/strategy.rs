//! Whose change stands when both sides changed the same thing: the person's choice of a rule, put to one case. Pure.

use serde::{Deserialize, Serialize};

/// The rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// The change that was made later.
    #[default]
    LastWriteWins,
    /// An account that is named wins over what was written here and over those named after it; one that isn't named
    /// loses to both. Labels, the strongest first.
    ProviderPriority(Vec<String>),
    /// A person chooses each time.
    Manual,
}

/// What the rule says about one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Favour {
    /// The later of the two.
    Later,
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
    /// Neither, before a person has said so.
    Nobody,
}

impl Strategy {
    /// Puts the rule to a clash between the account labelled `theirs` and a content that was written by the account labelled
    /// `ours`, or by a client if that is `None`.
    pub(super) fn favour(&self, ours: Option<&str>, theirs: &str) -> Favour {
        let Self::ProviderPriority(labels) = self else {
            return if *self == Self::Manual { Favour::Nobody } else { Favour::Later };
        };
        let rank = |label: &str| labels.iter().position(|known| known == label);
        match (ours.and_then(rank), rank(theirs)) {
            (Some(ours), Some(theirs)) if ours == theirs => Favour::Later,
            (Some(ours), Some(theirs)) if theirs < ours => Favour::Theirs,
            (None, Some(_)) => Favour::Theirs,
            (Some(_) | None, _) => Favour::Ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_account_wins_over_what_is_written_here_and_over_those_after_it() {
        let rule = Strategy::ProviderPriority(vec!["work".to_owned(), "home".to_owned()]);
        let table = [
            (None, "work", Favour::Theirs),
            (None, "home", Favour::Theirs),
            (None, "club", Favour::Ours),
            (Some("work"), "home", Favour::Ours),
            (Some("home"), "work", Favour::Theirs),
            (Some("home"), "home", Favour::Later),
            (Some("club"), "home", Favour::Theirs),
            (Some("home"), "club", Favour::Ours),
            (Some("club"), "club", Favour::Ours),
        ];
        for (ours, theirs, wanted) in table {
            assert_eq!(rule.favour(ours, theirs), wanted, "{ours:?} {theirs}");
            assert_eq!(Strategy::LastWriteWins.favour(ours, theirs), Favour::Later);
            assert_eq!(Strategy::Manual.favour(ours, theirs), Favour::Nobody);
        }
    }
}
