//! Descriptions that hold a little HTML, as the web interface writes them.

/// Whether a text is HTML: it has a tag or an entity that plain text would not have.
pub(super) fn is_html(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    TAGS.iter().any(|tag| {
        lower.match_indices(&format!("<{tag}")).any(|(at, found)| {
            lower.as_bytes().get(at + found.len()).is_some_and(|next| matches!(next, b'>' | b' ' | b'/'))
        })
    })
}

/// The words of it.
pub(super) fn plain(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let end = if after.starts_with('<') { after.find('>') } else { after.find(';').filter(|end| *end < 9) };
        let Some(end) = end else {
            out.push_str(after);
            return out.trim().to_owned();
        };
        let inner = after.get(1..end).unwrap_or_default();
        if after.starts_with('<') {
            out.push_str(if breaks(inner) { "\n" } else { "" });
        } else {
            out.push_str(&entity(inner));
        }
        rest = after.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// Whether two texts say the same, whatever the space between.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

fn breaks(tag: &str) -> bool {
    let name = tag.trim_end_matches('/').trim().to_ascii_lowercase();
    matches!(name.as_str(), "br" | "/p" | "/li" | "/div" | "/ul" | "/ol" | "/h1" | "/h2" | "/h3")
}

fn entity(name: &str) -> String {
    let number = name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16));
    let number = number.or_else(|| name.strip_prefix('#').map(str::parse));
    let found = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => number.and_then(Result::ok).and_then(char::from_u32),
    };
    found.map_or_else(|| format!("&{name};"), String::from)
}

const TAGS: &[&str] = &[
    "a",
    "b",
    "br",
    "i",
    "u",
    "p",
    "ul",
    "ol",
    "li",
    "div",
    "span",
    "strong",
    "em",
    "html-blob",
    "h1",
    "h2",
    "h3",
    "hr",
    "img",
    "table",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_told_from_text_and_its_words_are_read() {
        for plain_text in ["a < b", "1 <2> 3", "AT&T", "x <- y", "<alice@example.org>"] {
            assert!(!is_html(plain_text), "{plain_text}");
        }
        assert!(is_html("<b>bold</b>") && is_html("one<br>two") && is_html("<A HREF=\"x\">y</A>"));
        assert_eq!(plain("<p>One &amp; two</p><p>three<br/>four&#33;</p>"), "One & two\nthree\nfour!");
        assert_eq!(plain("cut <b"), "cut <b");
        assert!(same("a\n b", "a b") && !same("a", "b"));
    }
}
