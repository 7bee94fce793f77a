//! What a command prints: records for people as a table, or one JSON document; progress and warnings to stderr.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::admin::{Answer, Progress};

/// Prints an answer: the document or the text on stdout, notes on stderr.
pub(super) fn answer(answer: &Answer, json: bool) -> io::Result<()> {
    for note in &answer.notes {
        eprintln!("lineartime: {note}");
    }
    let text = match (&answer.text, json) {
        (_, true) => answer.document.to_string(),
        (Some(text), false) => text.clone(),
        (None, false) => table(&answer.document),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// A bar on stderr, if that is a terminal.
pub(super) fn listener() -> impl Fn(Progress) + Send + Sync {
    let bar = ProgressBar::no_length();
    let plain = ProgressStyle::with_template("{msg} {pos}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let counted = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}").unwrap_or_else(|_| plain.clone());
    move |progress| {
        if progress.total > 0 {
            bar.set_style(counted.clone());
            bar.set_length(progress.total);
        } else {
            bar.set_style(plain.clone());
        }
        bar.set_message(progress.message);
        bar.set_position(progress.done);
        if progress.total > 0 && progress.done >= progress.total {
            bar.finish_and_clear();
        }
    }
}

/// Records as lines under a head, `id` first.
fn table(document: &Value) -> String {
    let records: Vec<&serde_json::Map<String, Value>> = match document {
        Value::Array(records) => records.iter().filter_map(Value::as_object).collect(),
        Value::Object(record) => vec![record],
        other => return cell(other),
    };
    let Some(first) = records.first() else { return String::new() };
    let mut columns: Vec<&String> = first.keys().collect();
    columns.sort_by_key(|name| (*name != "id", *name != "name" && *name != "label"));
    let mut rows = vec![columns.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
    rows.extend(
        records
            .iter()
            .map(|record| columns.iter().map(|name| record.get(*name).map(cell).unwrap_or_default()).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_lines_under_a_head() {
        let records = json!([{ "admin": true, "id": "ana" }, { "id": "benedikt", "admin": false }]);
        assert_eq!(table(&records), "ID        ADMIN\nana       yes\nbenedikt  no");
        assert_eq!(table(&json!([])), "");
    }
}
