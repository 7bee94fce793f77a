//! What is no record and no text for people: archives, completions, the manual page. It goes to stdout as it is.

use std::io::{self, IsTerminal as _, Write as _};

use clap::CommandFactory as _;
use zip::write::SimpleFileOptions;

use super::admin::{Answer, Failure, file_name};
use super::args::{Args, Generate};
use crate::ical;

/// One file for each event of an export.
pub(super) fn archive(answer: &Answer) -> Result<(), Failure> {
    let calendar = answer.document.get("calendar").and_then(serde_json::Value::as_str).unwrap_or_default();
    if io::stdout().is_terminal() {
        return Err(Failure(
            "an archive is nothing for a terminal; write it to a file: export --zip .. > all.zip".into(),
        ));
    }
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for object in ical::split(calendar.as_bytes()) {
        let object = object?;
        zip.start_file(file_name(&object).as_str(), options)?;
        zip.write_all(ical::join([&object], &[]).as_ref())?;
    }
    out(zip.finish()?.get_ref())
}

/// For those who package the program.
pub(super) fn generate(what: &Generate) -> Result<(), Failure> {
    let mut text = Vec::new();
    match what {
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "lineartime", &mut text);
        }
        Generate::Man => clap_mangen::Man::new(Args::command()).render(&mut text)?,
    }
    out(&text)
}

fn out(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(octets).and_then(|()| out.flush())?)
}
