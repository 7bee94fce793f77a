//! Bodies: Exchange stores HTML, iCalendar clients read text (providers.md 8.3).
//!
//! Text that is sent comes back wrapped in HTML with other line ends, so bodies are compared by the words in them.
//! The block with the join details of an online meeting is part of the body, and losing it loses the details.

use html2text::render::TrivialDecorator;

use super::wire::{Event, ItemBody};

/// The words of a body.
pub(super) fn text_of(body: &ItemBody) -> String {
    let content = body.content.as_deref().unwrap_or_default();
    if is_html(body) { html_to_text(content) } else { tidy(content) }
}

/// The HTML of a body, if it says more than text could.
pub(super) fn rich_html(body: &ItemBody) -> Option<&str> {
    let content = body.content.as_deref().filter(|_| is_html(body))?;
    let lower = content.to_ascii_lowercase();
    let is_rich = RICH.iter().any(|tag| {
        lower.match_indices(tag).any(|(at, _)| {
            let next = lower.as_bytes().get(at + tag.len()).copied().unwrap_or(b' ');
            !next.is_ascii_alphanumeric()
        })
    });
    is_rich.then_some(content)
}

/// Plain words as a body.
pub(super) fn plain(text: &str) -> ItemBody {
    ItemBody { content_type: Some("text".to_owned()), content: Some(text.to_owned()) }
}

/// The body that takes the place of an event's: where the event is an online meeting and the new words lack its link,
/// the join details go along.
pub(super) fn replacing(current: &Event, new: ItemBody) -> ItemBody {
    let link = current.online_meeting.as_ref().and_then(|meeting| meeting.join_url.as_deref());
    let (Some(link), Some(old)) = (link, &current.body) else { return new };
    let has_link = |body: &ItemBody| {
        body.content.as_deref().is_some_and(|content| content.contains(link) || content.contains(&escape(link)))
    };
    if !has_link(old) || has_link(&new) {
        return new;
    }
    let words = match new.content {
        Some(content) if new.content_type.as_deref() == Some("html") => content,
        content => format!("<div>{}</div>", escape(&content.unwrap_or_default()).replace('\n', "<br>")),
    };
    let block = meeting_block(old);
    ItemBody { content_type: Some("html".to_owned()), content: Some(format!("{words}<br>{block}")) }
}

/// From the rule that Teams draws above its details to the end; all of the body where there is none.
fn meeting_block(body: &ItemBody) -> String {
    let content = body.content.as_deref().unwrap_or_default();
    let from = content.find(RULE).map_or(0, |at| content.get(..at).and_then(|head| head.rfind("<div")).unwrap_or(at));
    let block = content.get(from..).unwrap_or_default();
    if is_html(body) { block.to_owned() } else { format!("<div>{}</div>", escape(block).replace('\n', "<br>")) }
}

/// Words as they are compared: blanks and line ends do not count.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    words(a) == words(b)
}

fn is_html(body: &ItemBody) -> bool {
    body.content_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("html"))
}

/// Line ends as `\n`, none at the end, no blanks at the ends of lines.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn html_to_text(html: &str) -> String {
    // A body may be megabytes; nobody reads more than this of it, and what renders it is not made for more.
    let end = (0..=html.len().min(LONGEST)).rev().find(|at| html.is_char_boundary(*at)).unwrap_or_default();
    let html = html.get(..end).unwrap_or_default();
    // Renders to a width; one that no line reaches keeps paragraphs whole.
    let rendered = html2text::config::with_decorator(TrivialDecorator::new()).string_from_read(html.as_bytes(), WIDTH);
    tidy(&rendered.unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const RULE: &str = "________________";
const LONGEST: usize = 512 * 1024;
const WIDTH: usize = 20_000;
/// What text can't show.
const RICH: &[&str] =
    &["<a", "<b", "<strong", "<i", "<em", "<u", "<ul", "<ol", "<table", "<img", "<h1", "<h2", "<h3", "<pre"];

#[cfg(test)]
mod tests {
    use super::super::wire::OnlineMeeting;
    use super::*;

    fn html(content: &str) -> ItemBody {
        ItemBody { content_type: Some("html".to_owned()), content: Some(content.to_owned()) }
    }

    #[test]
    fn words_come_out_of_html() {
        for (given, expected) in [
            ("", ""),
            ("<html><head><meta charset=\"utf-8\"></head><body>one<br>two</body></html>", "one\ntwo"),
            ("<div>a &amp; b</div>\r\n<div>c</div>", "a & b\nc"),
            ("<p>see <a href=\"https://x.org/\">here</a></p>", "see here"),
            ("<ul><li>x</li></ul>", "x"),
        ] {
            assert_eq!(text_of(&html(given)), expected, "{given}");
        }
        assert_eq!(text_of(&plain("a\r\nb\r\n")), "a\nb");
        assert!(same_words("a\r\n b ", "a\nb"));
        assert!(!same_words("a b", "ab"));
    }

    #[test]
    fn html_that_says_more_than_text_is_told_apart() {
        assert!(rich_html(&html("<html><body><p>x</p></body></html>")).is_none());
        assert!(rich_html(&html("<body><br></body>")).is_none());
        assert!(rich_html(&html("<p><A HREF='x'>x</a></p>")).is_some());
        assert!(rich_html(&plain("<b>x</b>")).is_none());
    }

    #[test]
    fn the_join_details_stay_in_the_body() {
        let link = "https://teams.microsoft.com/l/meetup-join/1";
        let old = format!("<html><body><div>old words</div><div>{RULE}</div><a href=\"{link}\">Join</a></body></html>");
        let meeting = Some(OnlineMeeting { join_url: Some(link.to_owned()) });
        let event = Event { body: Some(html(&old)), online_meeting: meeting, ..Event::default() };
        let new = replacing(&event, plain("new <words>"));
        let content = new.content.unwrap();
        assert!(
            content.contains("new &lt;words&gt;") && content.contains(link) && !content.contains("old words"),
            "{content}"
        );
        let kept = replacing(&event, plain(&format!("mine {link}")));
        assert_eq!(kept.content.unwrap(), format!("mine {link}"));
        assert_eq!(replacing(&Event::default(), plain("x")).content.unwrap(), "x");
    }
}
