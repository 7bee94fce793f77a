//! Content lines: RFC 5545 3.1 (folding), 3.3.11 (TEXT escapes), RFC 6868 (parameter values).
//!
//! Reading joins folded lines on octets, before anything is read as UTF-8, because a fold may split a character.
//! Invariant: every logical line knows which octets of the file it came from. Never allocates per line, never recurses.

use std::borrow::Cow;
use std::sync::Arc;

use super::component::ParseError;

/// A half-open span of offsets. 32 bits are enough: longer input is refused first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Reach {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: offset(start), end: offset(end) }
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One logical line: where its unfolded text is, and which octets it came from (line ends included).
#[derive(Clone, Copy, Debug)]
pub(super) struct LogicalLine {
    pub(super) text: Reach,
    pub(super) octets: Reach,
    /// The first physical line, from 1.
    pub(super) number: u32,
}

/// A file with its folds taken out.
#[derive(Debug)]
pub(super) struct Unfolded {
    pub(super) text: Arc<str>,
    pub(super) lines: Vec<LogicalLine>,
}

/// Joins folded lines. Blank lines are left out. Refuses lines longer than `longest` octets and what isn't UTF-8.
pub(super) fn unfold(octets: &[u8], longest: usize) -> Result<Unfolded, ParseError> {
    if octets.len() > MAX_INPUT {
        return Err(ParseError::new(1, "the data are too large"));
    }
    let mut text = Vec::with_capacity(octets.len());
    let mut lines: Vec<LogicalLine> = Vec::new();
    for physical in PhysicalLines::new(octets) {
        let content = octets.get(physical.content.clone()).unwrap_or_default();
        // A blank line parts nothing, not even a fold (old Mozilla files have one before each).
        if content.is_empty() {
            continue;
        }
        let continued = content.strip_prefix(b" ").or(content.strip_prefix(b"\t"));
        if let (Some(rest), Some(line)) = (continued, lines.last_mut()) {
            text.extend_from_slice(rest);
            line.text.end = offset(text.len());
            line.octets.end = offset(physical.end);
        } else {
            // The separator keeps a character from being joined across two logical lines.
            text.push(b'\n');
            let start = text.len();
            text.extend_from_slice(content);
            lines.push(LogicalLine {
                text: Reach::new(start, text.len()),
                octets: Reach::new(physical.content.start, physical.end),
                number: physical.number,
            });
        }
        if let Some(line) = lines.last()
            && line.text.range().len() > longest
        {
            return Err(ParseError::new(line.number, "the line is too long"));
        }
    }
    let text = String::from_utf8(text).map_err(|error| {
        let at = offset(error.utf8_error().valid_up_to());
        let line = lines.iter().find(|line| at < line.text.end).or(lines.last());
        ParseError::new(line.map_or(1, |line| line.number), "the text isn't UTF-8")
    })?;
    lines.retain(|line| !text.get(line.text.range()).unwrap_or_default().trim_matches([' ', '\t']).is_empty());
    Ok(Unfolded { text: text.into(), lines })
}

/// A line as it stands in the file: its content without, and its end with, the line break.
#[derive(Debug)]
pub(super) struct PhysicalLine {
    pub(super) content: std::ops::Range<usize>,
    pub(super) end: usize,
    pub(super) number: u32,
}

/// The lines of a file, whether they end in CRLF, in LF or, the last one, in nothing. A byte order mark is passed over.
#[derive(Debug)]
pub(super) struct PhysicalLines<'a> {
    octets: &'a [u8],
    at: usize,
    number: u32,
}

impl<'a> PhysicalLines<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        let at = if octets.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { octets, at, number: 0 }
    }
}

impl Iterator for PhysicalLines<'_> {
    type Item = PhysicalLine;

    fn next(&mut self) -> Option<PhysicalLine> {
        let start = self.at;
        let rest = self.octets.get(start..).filter(|rest| !rest.is_empty())?;
        let (mut length, end) = match rest.iter().position(|&octet| octet == b'\n') {
            Some(at) => (at, start + at + 1),
            None => (rest.len(), start + rest.len()),
        };
        if length > 0 && end > start + length && rest.get(length - 1) == Some(&b'\r') {
            length -= 1;
        }
        self.at = end;
        self.number = self.number.saturating_add(1);
        Some(PhysicalLine { content: start..start + length, end, number: self.number })
    }
}

/// Where the head of a content line ends: after the name, and after the colon.
pub(super) fn split_head(line: &str) -> Result<(usize, usize), &'static str> {
    let name_end = line.find([';', ':']).ok_or("the line has no colon")?;
    let name = line.get(..name_end).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(is_name_octet) {
        return Err("the property's name isn't one");
    }
    let mut quoted = false;
    for (at, octet) in line.bytes().enumerate().skip(name_end) {
        match octet {
            b'"' => quoted = !quoted,
            b':' if !quoted => return Ok((name_end, at + 1)),
            _ => {}
        }
    }
    Err(if quoted { "a quoted parameter has no end" } else { "the line has no colon" })
}

/// Letters, digits and hyphen (RFC 5545 3.1), and the underscore and dot that clients use in names of their own.
pub(super) fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')
}

/// The first `separator` outside of quotes.
pub(super) fn find_unquoted(text: &str, separator: u8) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|octet| {
        quoted ^= octet == b'"';
        octet == separator && !quoted
    })
}

/// A logical line as octets: folded after at most 75 octets, never inside a character, with CRLF at each end.
pub fn fold_line(line: &str) -> Vec<u8> {
    fold_line_with(line, b"\r\n")
}

/// [`fold_line`] with the file's own line end.
pub(super) fn fold_line_with(line: &str, end_of_line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len() + line.len() / 30 + 2);
    let mut rest = line;
    let mut room = LONGEST_PHYSICAL_LINE;
    while rest.len() > room {
        // Never zero: a character has at most four octets.
        let cut = (1..=room).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(room);
        let (head, tail) = rest.split_at_checked(cut).unwrap_or((rest, ""));
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(end_of_line);
        out.push(b' ');
        rest = tail;
        room = LONGEST_PHYSICAL_LINE - 1;
    }
    out.extend_from_slice(rest.as_bytes());
    out.extend_from_slice(end_of_line);
    out
}

/// A string as a TEXT value (RFC 5545 3.3.11): cleaned, and `\`, `;`, `,` and line breaks escaped.
pub fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(character);
            }
            '\r' => {
                characters.next_if_eq(&'\n');
                out.push_str("\\n");
            }
            '\n' => out.push_str("\\n"),
            _ if is_forbidden(character) => {}
            _ => out.push(character),
        }
    }
    out
}

/// A TEXT value as a string. An unknown escape gives its character, a lone backslash at the end itself.
pub fn unescape_text(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some('n' | 'N')) => out.push('\n'),
            ('\\', Some(escaped)) => out.push(escaped),
            (character, _) => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// The parts of a value between commas that aren't escaped. Still escaped themselves.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    value.split(move |character| {
        let separates = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
}

/// A string without the characters that must not stand in iCalendar text: C0 controls except TAB and line feed, DEL,
/// and the two that XML can't carry. CRLF and CR become a line feed.
pub fn clean_text(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|character| character != '\n' && is_forbidden(character)) {
        return Cow::Borrowed(text);
    }
    let one_break = text.replace("\r\n", "\n").replace('\r', "\n");
    Cow::Owned(one_break.chars().filter(|&character| character == '\n' || !is_forbidden(character)).collect())
}

/// A file without the octets that [`Object::check_resource`](super::Object::check_resource) refuses as control
/// characters. For upstream data; what a client sends is refused and not changed.
pub fn clean_octets(octets: &[u8]) -> Cow<'_, [u8]> {
    if !has_forbidden(octets) {
        return Cow::Borrowed(octets);
    }
    let kept = octets.iter().enumerate().filter(|&(at, _)| !is_forbidden_at(octets, at));
    Cow::Owned(kept.map(|(_, &octet)| octet).collect())
}

/// Whether a file holds control characters, or what XML can't carry.
pub(super) fn has_forbidden(octets: &[u8]) -> bool {
    (0..octets.len()).any(|at| is_forbidden_at(octets, at))
}

fn is_forbidden_at(octets: &[u8], at: usize) -> bool {
    match octets.get(at) {
        Some(b'\r') => octets.get(at + 1) != Some(&b'\n'),
        Some(b'\n' | b'\t') => false,
        Some(0..b' ' | 0x7f) => true,
        // U+FFFE and U+FFFF, all three octets of them.
        Some(0xbe | 0xbf | 0xef) => (at.saturating_sub(2)..=at)
            .any(|start| matches!(octets.get(start..start + 3), Some([0xef, 0xbf, 0xbe | 0xbf]))),
        _ => false,
    }
}

/// Whether a character must not stand in a content line.
pub(super) fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\n'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}')
}

/// A string as a parameter value: RFC 6868 carets for what can't be written, quotes where needed.
pub fn encode_param(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    let mut quoted = false;
    for character in clean_text(value).chars() {
        match character {
            '\n' => out.push_str("^n"),
            '^' => out.push_str("^^"),
            '"' => out.push_str("^'"),
            _ => out.push(character),
        }
        quoted |= matches!(character, ':' | ';' | ',');
    }
    if quoted { format!("\"{out}\"") } else { out }
}

/// A parameter value as a string: without its quotes, RFC 6868 carets read. Other carets stay (RFC 6868 3.2).
pub fn decode_param(raw: &str) -> Cow<'_, str> {
    let bare = raw.strip_prefix('"').map_or(raw, |inner| inner.strip_suffix('"').unwrap_or(inner));
    if !bare.contains('^') {
        return Cow::Borrowed(bare);
    }
    let mut out = String::with_capacity(bare.len());
    let mut characters = bare.chars().peekable();
    while let Some(character) = characters.next() {
        let decoded = match (character, characters.peek()) {
            ('^', Some('n')) => '\n',
            ('^', Some('^')) => '^',
            ('^', Some('\'')) => '"',
            _ => {
                out.push(character);
                continue;
            }
        };
        characters.next();
        out.push(decoded);
    }
    Cow::Owned(out)
}

/// Inside of [`MAX_INPUT`] every offset fits.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// 1 GiB: far above every limit of the callers, far below what 32 bits hold.
const MAX_INPUT: usize = 1 << 30;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// RFC 5545 3.1: lines SHOULD NOT be longer than 75 octets, without the line break.
const LONGEST_PHYSICAL_LINE: usize = 75;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unfolded(octets: &[u8]) -> Vec<String> {
        let unfolded = unfold(octets, 1_000).unwrap();
        unfolded.lines.iter().map(|line| unfolded.text[line.text.range()].to_owned()).collect()
    }

    #[test]
    fn folds_are_joined_on_octets_whatever_the_line_ends() {
        let euro = "€".as_bytes();
        let split_character = [b"A:", &euro[..1], b"\r\n ", &euro[1..], b"\r\nB:2"].concat();
        assert_eq!(unfolded(&split_character), ["A:€", "B:2"]);
        assert_eq!(unfolded(b"A:1\n\t2\n 3\r\n\r\n \r\nB:\r\n"), ["A:123", "B:"]);
        assert_eq!(unfolded(b"\xef\xbb\xbfA:1\r\n  2"), ["A:1 2"]);
        assert_eq!(unfolded(b"A\n\n :1\n\nB:2"), ["A:1", "B:2"]);
        assert_eq!(unfolded(b"A:1\rB:2\r\n"), ["A:1\rB:2"]);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let latin1 = unfold(b"A:1\r\nB:\xe4\r\nC:3\r\n", 1_000).unwrap_err();
        assert_eq!((latin1.line, latin1.what), (2, "the text isn't UTF-8"));
        let halves = unfold(b"A:\xe2\x82\r\nB:\xac\r\n", 1_000).unwrap_err();
        assert_eq!(halves.line, 1, "a character isn't joined across lines");
        let long = unfold(format!("A:1\r\nB:{}\r\n", "x\r\n ".repeat(600)).as_bytes(), 500).unwrap_err();
        assert_eq!((long.line, long.what), (2, "the line is too long"));
    }

    #[test]
    fn heads_end_at_the_first_colon_outside_of_quotes() {
        assert_eq!(split_head("SUMMARY:a:b"), Ok((7, 8)));
        assert_eq!(split_head(r#"X;A="b:c;d":v"#), Ok((1, 12)));
        for bad in ["", "SUMMARY", ":v", "A B:v", "A;B", r#"A;B="c:d"#, "Ä:v", "A\u{b}:v"] {
            assert!(split_head(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_are_decoded_as_rfc_6868_says() {
        for (raw, value) in
            [("a", "a"), ("\"a;b\"", "a;b"), ("a^^b^nc^'d", "a^b\nc\"d"), ("^x^", "^x^"), ("\"\"", ""), ("\"", "")]
        {
            assert_eq!(decode_param(raw), value, "{raw}");
        }
        assert_eq!(encode_param("a\"b\r\nc:d^"), "\"a^'b^nc:d^^\"");
    }

    #[test]
    fn lists_are_split_at_plain_commas_only() {
        assert_eq!(split_list(r"a\,b,c\\,d,").collect::<Vec<_>>(), [r"a\,b", r"c\\", "d", ""]);
    }

    #[test]
    fn controls_are_taken_out_of_foreign_text() {
        assert_eq!(clean_text("a\u{0}b\rc\r\nd\te\u{7f}f\u{ffff}"), "ab\nc\nd\tef");
        assert_eq!(clean_octets(b"A:\x0b1\r2\r\n\x00\tB\n").as_ref(), b"A:12\r\n\tB\n");
        assert_eq!(
            clean_octets("a\u{ffff}\u{fffd}\u{fffe}\u{ff3f}".as_bytes()).as_ref(),
            "a\u{fffd}\u{ff3f}".as_bytes()
        );
        assert!(matches!(clean_octets("Ä\r\n\t".as_bytes()), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn folded_lines_unfold_to_themselves(line in "[^\r\n]{0,300}") {
            let folded = fold_line(&line);
            for physical in PhysicalLines::new(&folded) {
                prop_assert!(physical.content.len() <= 75);
                prop_assert!(std::str::from_utf8(&folded[physical.content]).is_ok());
            }
            if !line.trim_matches([' ', '\t', '\u{feff}']).is_empty() && !line.starts_with([' ', '\t', '\u{feff}']) {
                prop_assert_eq!(unfolded(&folded), [line]);
            }
        }

        #[test]
        fn escaped_text_comes_back_cleaned(text in any::<String>()) {
            let escaped = escape_text(&text);
            prop_assert!(!escaped.contains(['\r', '\n']));
            prop_assert_eq!(split_list(&escaped).count(), 1);
            let back = unescape_text(&escaped);
            prop_assert_eq!(back, clean_text(&text));
        }

        #[test]
        fn encoded_parameters_come_back_cleaned(text in any::<String>()) {
            let raw = encode_param(&text);
            prop_assert_eq!(find_unquoted(&raw, b':'), None);
            let back = decode_param(&raw);
            prop_assert_eq!(back, clean_text(&text));
        }
    }
}
