//! What one remote item means for one event: the decision table put to objects, still pure.
//!
//! [`decide`] says who moved. Here the two contents are at hand, so it is settled what is to be stored, what both
//! sides are to have agreed on afterwards, and which record of a conflict is left. Nothing is read or written.

use jiff::Timestamp;

use super::decide::{Action, Base, Clash, Side, decide};
use super::record::{BaseContent, Link};
use super::strategy::Favour;
use crate::calendar::{ConflictKind, Decision};
use crate::ical::{self, DateOrTime, Merged, Object};

/// An item as its provider holds it.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) object: Object,
    pub(super) meaning: [u8; 32],
}

impl Remote {
    pub(super) fn of(object: Object) -> Self {
        let meaning = ical::meaning(&object);
        Self { object, meaning }
    }
}

/// A link, with the content that it calls the base.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) link: Link,
    /// The base read; `None` when its revision is no longer kept.
    pub(super) base: Option<Object>,
    /// It is known from the history and not from the link: what the source holds is a revision of ours that was on its
    /// way there when its answer was lost.
    pub(super) echo: Option<u64>,
}

impl Known {
    /// What was agreed on, where the history tells it and not the link.
    fn earlier(&self) -> Option<Agreed> {
        let number = self.echo?;
        Some(match self.link.base {
            BaseContent::Revision(_) => Agreed::Earlier(number),
            BaseContent::Octets { .. } => Agreed::Rewritten(number),
        })
    }
}

/// How the event stands here, seen from one source.
#[derive(Clone, Debug)]
pub(super) enum Here {
    /// There is no such event.
    Unknown,
    /// It lives, but not in this source.
    Elsewhere(Ours),
    /// It lives in this source.
    Member {
        /// Its content.
        ours: Ours,
        /// The source has yet to be told of it.
        dirty: bool,
        /// A person has yet to choose between it and what the source holds.
        held: bool,
    },
    /// It left this source, or was deleted.
    Left {
        /// The source has yet to be told so. If not, nobody here wants it gone there.
        wanted: bool,
    },
}

/// The content here.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) object: Object,
    pub(super) modified: Timestamp,
}

/// What is to be done here.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The content stays as it is.
    Stay {
        /// What the two have agreed on.
        agreed: Agreed,
        /// The source holds what it should: nothing has to be told any more.
        settled: bool,
    },
    /// The event becomes a member of this source as it is.
    Join {
        /// What the two have agreed on.
        agreed: Agreed,
        /// The record of what met.
        met: Option<Met>,
    },
    /// This content is stored.
    Write {
        /// It.
        object: Object,
        /// What the two have agreed on.
        agreed: Agreed,
        /// The source itself must be told, since this is not what it holds.
        tell: bool,
        /// The record of what met.
        met: Option<Met>,
    },
    /// The event leaves this source.
    Remove,
    /// It is gone on both sides.
    Forget,
    /// The link goes, the event stays and is created there anew.
    Recreate(Met),
    /// Both versions stay where they are until a person has chosen.
    Hold(Met),
}

/// What a link is to say about the content on their side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// As before.
    Unchanged,
    /// It means what our current revision means.
    Ours,
    /// Their octets; ours stand opposite them, and a later change of ours is carried over as a change.
    Theirs,
    /// Their octets, which ours are about to replace.
    Overruled,
    /// It means what this earlier revision of ours means: a push has arrived there whose answer never came here.
    Earlier(u64),
    /// Their octets, which are what their server has made of this earlier revision of ours.
    Rewritten(u64),
}

/// What a record of a conflict is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) kind: ConflictKind,
    pub(super) properties: Vec<String>,
    pub(super) decision: Decision,
    pub(super) rule: &'static str,
}

/// An item is there: what now? `favour` decides between two changes of the same thing.
pub(super) fn present(known: Option<&Known>, here: &Here, remote: &Remote, favour: Favour) -> Step {
    let theirs =
        if known.is_some_and(|known| known.link.meaning == remote.meaning) { Side::Same } else { Side::Changed };
    let (base, ours, object) = match here {
        // Nobody here asked for what left to be gone there, so its being there is news.
        Here::Unknown | Here::Left { wanted: false } => (Base::None, Side::Absent, None),
        Here::Left { wanted: true } => (base_of(known), Side::Absent, None),
        Here::Elsewhere(ours) => return join(ours, remote),
        Here::Member { ours, dirty, held } => {
            (base_of(known), if *dirty || *held { Side::Changed } else { Side::Same }, Some(ours))
        }
    };
    let is_held = matches!(here, Here::Member { held: true, .. });
    let alike = object.is_some_and(|ours| ical::meaning(&ours.object) == remote.meaning);
    match (decide(base, ours, theirs, alike), object) {
        (Action::Nothing | Action::SendOurs | Action::DeleteTheirs | Action::Forget | Action::DeleteOurs, _) => {
            Step::Stay { agreed: known.and_then(Known::earlier).unwrap_or(Agreed::Unchanged), settled: false }
        }
        (Action::Adopt, _) => Step::Stay { agreed: Agreed::Ours, settled: true },
        // While a person chooses, nothing is mixed.
        (Action::Merge | Action::Clash(Clash::Twin), Some(ours)) if is_held => hold_again(known, ours, remote),
        (Action::TakeTheirs, Some(ours)) => take(known, ours, remote),
        (Action::TakeTheirs, None) => write(remote.object.clone(), Agreed::Ours, false, None),
        (Action::Merge, Some(ours)) => merge(known, ours, remote, favour),
        (Action::Clash(Clash::Twin), Some(ours)) => twin(ours, remote, favour),
        (Action::Clash(_) | Action::Merge, _) => {
            let met = Met::new(ConflictKind::EditDelete, Decision::Theirs, "an edit there wins over a deletion here");
            write(remote.object.clone(), Agreed::Ours, false, Some(met))
        }
    }
}

/// An item is gone, and that is proven: what now?
pub(super) fn absent(here: &Here) -> Step {
    let ours = match here {
        Here::Unknown | Here::Elsewhere(_) | Here::Left { .. } => Side::Absent,
        Here::Member { dirty: false, held: false, .. } => Side::Same,
        Here::Member { .. } => Side::Changed,
    };
    match decide(Base::Agreed, ours, Side::Absent, false) {
        Action::DeleteOurs => Step::Remove,
        Action::Clash(_) => {
            let rule = "an edit here wins over a deletion there";
            Step::Recreate(Met::new(ConflictKind::EditDelete, Decision::Ours, rule))
        }
        _ => Step::Forget,
    }
}

impl Met {
    fn new(kind: ConflictKind, decision: Decision, rule: &'static str) -> Self {
        Self { kind, properties: Vec::new(), decision, rule }
    }
}

fn base_of(known: Option<&Known>) -> Base {
    if known.is_some() { Base::Agreed } else { Base::None }
}

fn write(object: Object, agreed: Agreed, tell: bool, met: Option<Met>) -> Step {
    Step::Write { object, agreed, tell, met }
}

/// The same UID in another source. Two copies that differ were different before we came: nobody edited anything, so
/// nothing is written anywhere. Ours is shown, theirs is what later changes of either side are measured against.
fn join(ours: &Ours, remote: &Remote) -> Step {
    if ical::meaning(&ours.object) == remote.meaning {
        return Step::Join { agreed: Agreed::Ours, met: None };
    }
    let met = Met::new(ConflictKind::Twin, Decision::Ours, "the copy that was here first is shown");
    Step::Join { agreed: Agreed::Theirs, met: Some(met) }
}

/// They changed it, we did not. Where they never held all of ours, their change is carried over instead of their content.
fn take(known: Option<&Known>, ours: &Ours, remote: &Remote) -> Step {
    match known {
        Some(Known { link: Link { base: BaseContent::Octets { .. }, .. }, base: Some(base), .. }) => {
            let object = match ical::merge(base, &ours.object, &remote.object) {
                Merged::Clean(merged) => merged,
                Merged::Clash { theirs_wins, .. } => theirs_wins,
            };
            let agreed = if ical::meaning(&object) == remote.meaning { Agreed::Ours } else { Agreed::Theirs };
            write(object, agreed, false, None)
        }
        _ => write(remote.object.clone(), Agreed::Ours, false, None),
    }
}

/// Both changed it.
fn merge(known: Option<&Known>, ours: &Ours, remote: &Remote, favour: Favour) -> Step {
    let Some(base) = known.and_then(|known| known.base.as_ref()) else { return twin(ours, remote, favour) };
    match ical::merge(base, &ours.object, &remote.object) {
        Merged::Clean(object) => send_back(object, remote, None),
        Merged::Clash { properties, ours_wins, theirs_wins } => {
            let (decision, rule) = choose(favour, ours, remote);
            let met = Met { properties, ..Met::new(ConflictKind::Edit, decision, rule) };
            match decision {
                Decision::Open => Step::Hold(met),
                Decision::Theirs => send_back(theirs_wins, remote, Some(met)),
                Decision::Ours | Decision::Other => send_back(ours_wins, remote, Some(met)),
            }
        }
    }
}

/// Two contents under one identity, and no base to tell who changed what.
fn twin(ours: &Ours, remote: &Remote, favour: Favour) -> Step {
    let (decision, rule) = choose(favour, ours, remote);
    let met = Met::new(ConflictKind::Twin, decision, rule);
    match decision {
        Decision::Open => Step::Hold(met),
        Decision::Theirs => write(remote.object.clone(), Agreed::Ours, false, Some(met)),
        Decision::Ours | Decision::Other => write(ours.object.clone(), Agreed::Overruled, true, Some(met)),
    }
}

/// They changed it again while a person was to choose: the choice is between ours and this.
fn hold_again(known: Option<&Known>, ours: &Ours, remote: &Remote) -> Step {
    let kind = if known.is_some() { ConflictKind::Edit } else { ConflictKind::Twin };
    let (decision, rule) = choose(Favour::Nobody, ours, remote);
    Step::Hold(Met::new(kind, decision, rule))
}

fn choose(favour: Favour, ours: &Ours, remote: &Remote) -> (Decision, &'static str) {
    match favour {
        Favour::Later if theirs_are_later(ours, &remote.object) => {
            (Decision::Theirs, "last write wins: theirs was later")
        }
        Favour::Later => (Decision::Ours, "last write wins: ours was later"),
        Favour::Ours => (Decision::Ours, "provider priority: theirs ranks lower"),
        Favour::Theirs => (Decision::Theirs, "provider priority: theirs ranks higher"),
        Favour::Nobody => (Decision::Open, "manual: a person chooses"),
    }
}

fn send_back(object: Object, remote: &Remote, met: Option<Met>) -> Step {
    if ical::meaning(&object) == remote.meaning {
        write(object, Agreed::Ours, false, met)
    } else {
        write(object, Agreed::Overruled, true, met)
    }
}

/// Whether the provider's own word on when it was changed is later than our edit. Without such a word ours is later.
fn theirs_are_later(ours: &Ours, theirs: &Object) -> bool {
    let stamps = theirs.members().filter_map(|member| match DateOrTime::parse(member.property("LAST-MODIFIED")?) {
        Ok(DateOrTime::Utc(at)) => Some(at),
        _ => None,
    });
    stamps.max().is_some_and(|at| at > ours.modified)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::EventId;
    use crate::provider::RemoteTag;

    fn object(summary: &str, extra: &str) -> Object {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260101T100000Z\r\nSUMMARY:{summary}\r\n{extra}END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        Object::parse(Bytes::from(text)).unwrap()
    }

    fn ours(summary: &str, extra: &str) -> Ours {
        Ours { object: object(summary, extra), modified: "2026-06-01T00:00:00Z".parse().unwrap() }
    }

    fn known(base: &Object, content: BaseContent) -> Known {
        let link = Link {
            event: EventId(1),
            tag: Some(RemoteTag::new("t")),
            meaning: ical::meaning(base),
            base: content,
            at: Timestamp::UNIX_EPOCH,
        };
        Known { link, base: Some(base.clone()), echo: None }
    }

    fn mirrored(base: &Object) -> Known {
        known(base, BaseContent::Revision(1))
    }

    fn member(ours: Ours, dirty: bool) -> Here {
        Here::Member { ours, dirty, held: false }
    }

    fn present(known: Option<&Known>, here: &Here, remote: &Remote) -> Step {
        super::present(known, here, remote, Favour::Later)
    }

    #[test]
    fn a_new_tag_with_the_old_meaning_is_no_change() {
        let base = object("A", "");
        let again = Remote::of(object("A", "LAST-MODIFIED:20261231T000000Z\r\n"));
        let step = present(Some(&mirrored(&base)), &member(ours("A", ""), false), &again);
        assert!(matches!(step, Step::Stay { agreed: Agreed::Unchanged, settled: false }), "{step:?}");
    }

    #[test]
    fn an_echo_of_our_own_push_settles_it() {
        let remote = Remote::of(object("B", ""));
        let step = present(Some(&mirrored(&object("A", ""))), &member(ours("B", ""), true), &remote);
        assert!(matches!(step, Step::Stay { agreed: Agreed::Ours, settled: true }), "{step:?}");
    }

    #[test]
    fn an_echo_of_an_earlier_push_is_no_change_of_theirs() {
        let arrived = object("B", "LOCATION:There\r\n");
        let known = Known { echo: Some(2), ..mirrored(&arrived) };
        let agreed = Agreed::Earlier(2);
        for here in [member(ours("C", ""), true), Here::Left { wanted: true }] {
            let step = present(Some(&known), &here, &Remote::of(arrived.clone()));
            assert!(matches!(step, Step::Stay { agreed: how, settled: false } if how == agreed), "{here:?}: {step:?}");
        }
    }

    #[test]
    fn changes_to_different_properties_both_stand() {
        let remote = Remote::of(object("A", "LOCATION:There\r\n"));
        let step = present(Some(&mirrored(&object("A", ""))), &member(ours("B", ""), true), &remote);
        let Step::Write { object, agreed: Agreed::Overruled, tell: true, met: None } = step else { panic!("{step:?}") };
        let text = String::from_utf8(object.octets().to_vec()).unwrap();
        assert!(text.contains("SUMMARY:B") && text.contains("LOCATION:There"), "{text}");
    }

    #[test]
    fn the_later_of_two_changes_to_one_property_wins_and_is_recorded() {
        for (stamp, decision, summary) in
            [("20260501T000000Z", Decision::Ours, "Ours"), ("20260701T000000Z", Decision::Theirs, "Theirs")]
        {
            let remote = Remote::of(object("Theirs", &format!("LAST-MODIFIED:{stamp}\r\n")));
            let step = present(Some(&mirrored(&object("A", ""))), &member(ours("Ours", ""), true), &remote);
            let Step::Write { object, met: Some(met), .. } = step else { panic!("{step:?}") };
            assert_eq!((met.kind, met.decision), (ConflictKind::Edit, decision));
            assert_eq!(object.master().unwrap().property("SUMMARY").unwrap().value(), summary);
        }
    }

    #[test]
    fn each_way_of_choosing_chooses_between_two_changes_of_one_property() {
        let table = [
            (Favour::Ours, Some((Decision::Ours, "Ours", Agreed::Overruled))),
            (Favour::Theirs, Some((Decision::Theirs, "Theirs", Agreed::Ours))),
            (Favour::Nobody, None),
        ];
        let remote = Remote::of(object("Theirs", "LAST-MODIFIED:20260501T000000Z\r\n"));
        for known in [Some(mirrored(&object("A", ""))), None] {
            for (favour, wanted) in table {
                let step = super::present(known.as_ref(), &member(ours("Ours", ""), true), &remote, favour);
                match (step, wanted) {
                    (Step::Hold(met), None) => assert_eq!(met.decision, Decision::Open),
                    (Step::Write { object, agreed, met: Some(met), tell }, Some((decision, summary, how))) => {
                        assert_eq!((met.decision, agreed, tell), (decision, how, how == Agreed::Overruled));
                        assert_eq!(object.master().unwrap().property("SUMMARY").unwrap().value(), summary);
                    }
                    (step, wanted) => panic!("{favour:?}: {step:?} and not {wanted:?}"),
                }
            }
        }
    }

    #[test]
    fn changes_to_different_properties_need_nobody_to_choose() {
        let remote = Remote::of(object("A", "LOCATION:There\r\n"));
        for favour in [Favour::Later, Favour::Ours, Favour::Theirs, Favour::Nobody] {
            let step = super::present(Some(&mirrored(&object("A", ""))), &member(ours("B", ""), true), &remote, favour);
            assert!(matches!(step, Step::Write { met: None, tell: true, .. }), "{favour:?}: {step:?}");
        }
    }

    #[test]
    fn while_a_person_chooses_nothing_moves_unless_both_come_to_say_the_same() {
        let held = |summary| Here::Member { ours: ours(summary, ""), dirty: false, held: true };
        let theirs = object("Theirs", "");
        let known = known(&theirs, BaseContent::Octets { octets: theirs.octets().clone(), opposite: None });
        let step = present(Some(&known), &held("Ours"), &Remote::of(theirs.clone()));
        assert!(matches!(step, Step::Stay { agreed: Agreed::Unchanged, settled: false }), "{step:?}");
        let again = Remote::of(object("Theirs", "LOCATION:Elsewhere\r\n"));
        assert!(matches!(present(Some(&known), &held("Ours"), &again), Step::Hold(_)));
        let alike = Remote::of(object("Ours", ""));
        let step = present(Some(&known), &held("Ours"), &alike);
        assert!(matches!(step, Step::Stay { agreed: Agreed::Ours, settled: true }), "{step:?}");
    }

    #[test]
    fn what_a_provider_never_held_survives_its_changes() {
        let kept = "X-COLOUR:red\r\n";
        let base = object("A", "");
        let known = known(&base, BaseContent::Octets { octets: base.octets().clone(), opposite: Some(1) });
        let step = present(Some(&known), &member(ours("A", kept), false), &Remote::of(object("B", "")));
        let Step::Write { object, agreed: Agreed::Theirs, tell: false, met: None } = step else { panic!("{step:?}") };
        let text = String::from_utf8(object.octets().to_vec()).unwrap();
        assert!(text.contains("SUMMARY:B") && text.contains(kept.trim()), "{text}");
    }

    #[test]
    fn an_edit_wins_over_a_deletion_on_either_side() {
        let base = object("A", "");
        let step = present(Some(&mirrored(&base)), &Here::Left { wanted: true }, &Remote::of(object("B", "")));
        let Step::Write { met: Some(met), tell: false, .. } = step else { panic!("{step:?}") };
        assert_eq!((met.kind, met.decision), (ConflictKind::EditDelete, Decision::Theirs));
        let step = absent(&member(ours("B", ""), true));
        assert!(matches!(step, Step::Recreate(Met { decision: Decision::Ours, .. })), "{step:?}");
    }

    #[test]
    fn a_deletion_of_what_the_other_side_did_not_touch_stands() {
        let base = object("A", "");
        let step = present(Some(&mirrored(&base)), &Here::Left { wanted: true }, &Remote::of(base.clone()));
        assert!(matches!(step, Step::Stay { agreed: Agreed::Unchanged, .. }), "{step:?}");
        assert!(matches!(absent(&member(ours("A", ""), false)), Step::Remove));
        assert!(matches!(absent(&Here::Left { wanted: true }), Step::Forget));
    }

    #[test]
    fn what_nobody_here_deleted_is_taken_in_again_and_never_deleted_there() {
        let base = object("A", "");
        let step = present(Some(&mirrored(&base)), &Here::Left { wanted: false }, &Remote::of(base.clone()));
        assert!(matches!(step, Step::Write { tell: false, met: None, .. }), "{step:?}");
    }

    #[test]
    fn copies_that_differed_before_we_came_are_written_nowhere() {
        let elsewhere = Here::Elsewhere(ours("A", ""));
        let step = present(None, &elsewhere, &Remote::of(object("B", "")));
        assert!(matches!(step, Step::Join { agreed: Agreed::Theirs, met: Some(_) }), "{step:?}");
        let step = present(None, &elsewhere, &Remote::of(object("A", "")));
        assert!(matches!(step, Step::Join { agreed: Agreed::Ours, met: None }), "{step:?}");
    }
}
