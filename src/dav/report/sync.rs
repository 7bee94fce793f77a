//! `sync-collection` (RFC 6578 3.2, 6).

use super::super::element::Element;
use super::super::name::{self, QName, ns::DAV};
use super::super::precondition::Malformed;
use super::super::writer::Writer;
use super::query::Asked;

/// `DAV:sync-collection`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncCollection {
    /// Where the client stands; none for the first time.
    pub token: Option<String>,
    /// None where an old client leaves it to `Depth` (RFC 6578 appendix A).
    pub level: Option<SyncLevel>,
    /// How many responses the client can take; at least one.
    pub limit: Option<usize>,
    pub asked: Asked,
}

/// How deep changes are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncLevel {
    One,
    Infinite,
}

impl SyncCollection {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let text = |name: &QName| root.child(name).map(Element::trimmed);
        let token = text(&name::dav::SYNC_TOKEN).filter(|token| !token.is_empty());
        let level = match text(&SYNC_LEVEL).as_deref() {
            None | Some("") => None,
            Some("1") => Some(SyncLevel::One),
            Some("infinite" | "infinity") => Some(SyncLevel::Infinite),
            Some(_) => return Err(Malformed::Unexpected("DAV:sync-level is 1 or infinite")),
        };
        let limit = match root.child(&LIMIT) {
            None => None,
            Some(limit) => {
                let number = limit.child(&NRESULTS).and_then(|n| n.trimmed().parse::<usize>().ok());
                let positive = number.filter(|n| *n > 0);
                Some(positive.ok_or(Malformed::Unexpected("DAV:limit holds DAV:nresults with a positive number"))?)
            }
        };
        Ok(Self { token, level, limit, asked: Asked::read(root)? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text_element(&name::dav::SYNC_TOKEN, self.token.as_deref().unwrap_or_default());
        match self.level {
            Some(SyncLevel::One) => writer.text_element(&SYNC_LEVEL, "1"),
            Some(SyncLevel::Infinite) => writer.text_element(&SYNC_LEVEL, "infinite"),
            None => writer,
        };
        if let Some(limit) = self.limit {
            writer.start(&LIMIT).text_element(&NRESULTS, &limit.to_string()).end(&LIMIT);
        }
        self.asked.write(writer);
    }
}

const SYNC_LEVEL: QName = QName::fixed(DAV, "sync-level");
const LIMIT: QName = QName::fixed(DAV, "limit");
const NRESULTS: QName = QName::fixed(DAV, "nresults");

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;

    fn read(inner: &str) -> Result<SyncCollection, Malformed> {
        let body = format!("<sync-collection xmlns='DAV:'>{inner}</sync-collection>");
        match Report::parse(body.as_bytes())? {
            Report::SyncCollection(sync) => Ok(sync),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_clients_send_is_read_and_written() {
        for (inner, token, level, limit) in [
            ("<sync-token/><sync-level>1</sync-level><prop><getetag/></prop>", None, Some(SyncLevel::One), None),
            (
                "<sync-token> urn:t </sync-token><sync-level>infinite</sync-level><prop/>",
                Some("urn:t"),
                Some(SyncLevel::Infinite),
                None,
            ),
            ("<prop/><sync-token>t</sync-token><limit><nresults> 50 </nresults></limit>", Some("t"), None, Some(50)),
        ] {
            let sync = read(inner).unwrap();
            assert_eq!((sync.token.as_deref(), sync.level, sync.limit), (token, level, limit), "{inner}");
            let report = Report::SyncCollection(sync);
            assert_eq!(Report::parse(&report.write()), Ok(report));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for inner in [
            "<sync-level>2</sync-level>",
            "<limit/>",
            "<limit><nresults>0</nresults></limit>",
            "<limit><nresults>-1</nresults></limit>",
            "<limit><nresults>many</nresults></limit>",
            "<limit><nresults>99999999999999999999999</nresults></limit>",
        ] {
            assert_eq!(read(inner).unwrap_err().status(), 400, "{inner}");
        }
    }
}
