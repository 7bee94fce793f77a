//! The decision table: what to do about one object that our side and a remote side may both have touched.
//!
//! Pure and total. *Base* is what both sides last agreed on; a side is compared with it by meaning, not by
//! octets or tags. What the table does not know (merging properties, choosing a winner, whom to tell) is the
//! business of whoever carries an [`Action`] out.

/// One side of an object, compared with the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// It is not there. For their side: the provider proved it, a listing that merely lacks it does not count.
    Absent,
    /// It means what the base means.
    Same,
    /// It means something else than the base, or there is no base.
    Changed,
}

/// What both sides last agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// They never agreed: the object is new on at least one side.
    None,
    /// They agreed on some content.
    Agreed,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Both sides are as they should be.
    Nothing,
    /// Store their content here.
    TakeTheirs,
    /// Send our content there.
    SendOurs,
    /// Both made the same object: remember that they agree.
    Adopt,
    /// It was deleted there and not touched here: delete it here.
    DeleteOurs,
    /// It was deleted here and not touched there: delete it there.
    DeleteTheirs,
    /// Both changed it: merge by property, store the result, send it.
    Merge,
    /// Both did something that can't both stand.
    Clash(Clash),
    /// It is gone on both sides: forget that it was linked.
    Forget,
}

/// How two changes collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clash {
    /// Two different objects with the same identity, and no base to compare with.
    Twin,
    /// We edited what they deleted. The edit wins.
    EditedHere,
    /// They edited what we deleted. The edit wins.
    EditedThere,
}

/// Decides. `alike` says whether the two sides mean the same; it matters only when both are there.
#[expect(clippy::match_same_arms, reason = "one line for each row of the table")]
pub fn decide(base: Base, ours: Side, theirs: Side, alike: bool) -> Action {
    use Side::{Absent, Changed, Same};
    match (base, ours, theirs) {
        (Base::None, Absent, Absent) => Action::Nothing,
        (Base::None, _, Absent) => Action::SendOurs,
        (Base::None, Absent, _) => Action::TakeTheirs,
        (Base::None, _, _) if alike => Action::Adopt,
        (Base::None, _, _) => Action::Clash(Clash::Twin),
        (Base::Agreed, Absent, Absent) => Action::Forget,
        (Base::Agreed, Same, Absent) => Action::DeleteOurs,
        (Base::Agreed, Changed, Absent) => Action::Clash(Clash::EditedHere),
        (Base::Agreed, Absent, Same) => Action::DeleteTheirs,
        (Base::Agreed, Absent, Changed) => Action::Clash(Clash::EditedThere),
        (Base::Agreed, Same, Same) => Action::Nothing,
        (Base::Agreed, Changed, Same) => Action::SendOurs,
        (Base::Agreed, Same, Changed) => Action::TakeTheirs,
        (Base::Agreed, Changed, Changed) if alike => Action::Adopt,
        (Base::Agreed, Changed, Changed) => Action::Merge,
    }
}

#[cfg(test)]
mod tests {
    use super::Side::{Absent, Changed, Same};
    use super::*;

    /// Every row there is; `None` for `alike` means that it must not matter.
    const TABLE: &[(Base, Side, Side, Option<bool>, Action)] = &[
        (Base::None, Absent, Absent, None, Action::Nothing),
        (Base::None, Changed, Absent, None, Action::SendOurs),
        (Base::None, Same, Absent, None, Action::SendOurs),
        (Base::None, Absent, Changed, None, Action::TakeTheirs),
        (Base::None, Absent, Same, None, Action::TakeTheirs),
        (Base::None, Changed, Changed, Some(true), Action::Adopt),
        (Base::None, Changed, Changed, Some(false), Action::Clash(Clash::Twin)),
        (Base::None, Same, Changed, Some(true), Action::Adopt),
        (Base::None, Same, Changed, Some(false), Action::Clash(Clash::Twin)),
        (Base::None, Changed, Same, Some(true), Action::Adopt),
        (Base::None, Changed, Same, Some(false), Action::Clash(Clash::Twin)),
        (Base::None, Same, Same, Some(true), Action::Adopt),
        (Base::None, Same, Same, Some(false), Action::Clash(Clash::Twin)),
        (Base::Agreed, Absent, Absent, None, Action::Forget),
        (Base::Agreed, Same, Absent, None, Action::DeleteOurs),
        (Base::Agreed, Changed, Absent, None, Action::Clash(Clash::EditedHere)),
        (Base::Agreed, Absent, Same, None, Action::DeleteTheirs),
        (Base::Agreed, Absent, Changed, None, Action::Clash(Clash::EditedThere)),
        (Base::Agreed, Same, Same, None, Action::Nothing),
        (Base::Agreed, Changed, Same, None, Action::SendOurs),
        (Base::Agreed, Same, Changed, None, Action::TakeTheirs),
        (Base::Agreed, Changed, Changed, Some(true), Action::Adopt),
        (Base::Agreed, Changed, Changed, Some(false), Action::Merge),
    ];

    #[test]
    fn every_row_is_in_the_table_and_decided_as_it_says() {
        for base in [Base::None, Base::Agreed] {
            for ours in [Absent, Same, Changed] {
                for theirs in [Absent, Same, Changed] {
                    for alike in [false, true] {
                        let rows: Vec<_> = TABLE
                            .iter()
                            .filter(|row| (row.0, row.1, row.2) == (base, ours, theirs))
                            .filter(|row| row.3.is_none_or(|wanted| wanted == alike))
                            .collect();
                        assert_eq!(rows.len(), 1, "{base:?} {ours:?} {theirs:?} {alike}");
                        assert_eq!(
                            decide(base, ours, theirs, alike),
                            rows[0].4,
                            "{base:?} {ours:?} {theirs:?} {alike}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_changed_here_is_never_overwritten_and_nothing_unproven_is_deleted() {
        for theirs in [Absent, Same, Changed] {
            for alike in [false, true] {
                let action = decide(Base::Agreed, Changed, theirs, alike);
                assert!(!matches!(action, Action::TakeTheirs | Action::DeleteOurs | Action::Forget), "{action:?}");
            }
        }
        for ours in [Absent, Same, Changed] {
            let action = decide(Base::Agreed, ours, Changed, false);
            assert!(!matches!(action, Action::SendOurs | Action::DeleteTheirs | Action::Forget), "{action:?}");
        }
    }
}
