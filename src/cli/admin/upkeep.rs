//! Copies, and a look for trouble.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use serde_json::json;

use super::{Answer, Failure, failed};
use crate::app::Gateway;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Store, dump};

/// The file in a backup folder.
const FILE: &str = "lineartime.dump";

/// A backup that was written, and read again.
pub(super) async fn backup(gateway: &Gateway, folder: &Path) -> Result<Answer, Failure> {
    let answer = write_backup(&*gateway.store, &*gateway.clock, folder).await?;
    Ok(answer.note("the master key is not in the backup; keep a copy of it elsewhere"))
}

/// Whether a whole backup is in the folder.
pub(crate) fn holds_backup(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// Writes all rows of one moment. The master key is not among them: a copy that is found tells no password.
pub(crate) async fn write_backup(store: &dyn Store, clock: &dyn Clock, folder: &Path) -> Result<Answer, Failure> {
    let target = folder.join(FILE);
    if target.exists() {
        return failed(format!("{} holds a backup already; name another folder", folder.display()));
    }
    let wrong = |error: io::Error| Failure(format!("{} can't be written: {error}", folder.display()));
    crate::app::make_private_folder(folder).map_err(wrong)?;
    let draft = folder.join(format!("{FILE}.part"));
    let mut file = BufWriter::new(File::create(&draft).map_err(wrong)?);
    let summary = dump::dump(store, &mut file).await?;
    file.flush().map_err(wrong)?;
    file.get_ref().sync_all().map_err(wrong)?;
    let reread = dump::check(&mut BufReader::new(File::open(&draft).map_err(wrong)?))?;
    if reread != summary {
        return failed(format!("{} does not hold what was written to it; look after that disk", draft.display()));
    }
    fs::rename(&draft, &target).map_err(wrong)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
    let document = json!({ "path": target, "rows": summary.rows, "created": clock.now() });
    let text = format!("{} rows are in {}, read again and whole", summary.rows, target.display());
    Ok(Answer::saying(document, text))
}

/// Loads a backup into a store that nobody has used.
pub(crate) async fn restore(config: &Config, store: &dyn Store, folder: &Path) -> Result<Answer, Failure> {
    let source = folder.join(FILE);
    let open = File::open(&source);
    let mut file = open.map_err(|error| Failure(format!("{} can't be read: {error}", source.display())))?;
    let summary = dump::load(&mut file, store).await?;
    let answer = Answer::saying(json!({ "rows": summary.rows }), format!("{} rows are restored", summary.rows));
    if config.security.master_key.is_none() && !config.storage.path.join(crate::app::KEY_FILE).exists() {
        let key = config.storage.path.join(crate::app::KEY_FILE);
        return Ok(answer.note(format!("put the master key of that time at {} before you start", key.display())));
    }
    Ok(answer)
}

pub(super) async fn key_rotate(gateway: &Gateway) -> Result<Answer, Failure> {
    let rotated = crate::app::keys::rotate(gateway).await?;
    let document = json!({ "resealed": rotated.resealed, "unreadable": rotated.unreadable });
    let text =
        format!("{} secrets are sealed under a new master key; the old one opens nothing any more", rotated.resealed);
    let answer = Answer::saying(document, text).note("backups made until now need the old key: make a new one");
    if rotated.unreadable == 0 {
        return Ok(answer);
    }
    let count = rotated.unreadable;
    Ok(answer.note(format!("{count} secrets could not be opened with any key; `lineartime doctor` names the accounts")))
}
