//! All rows in one file: for backups, and for moving between engines.
//!
//! ```text
//! "lineartime dump 1\n"
//! length (u32) | CRC-32C (u32) | body            the header: schema (u32), epoch
//! length (u32) | CRC-32C (u32) | body            each row: length of key (u32), key, value
//! 0 (u32) | rows (u64) | SHA-256 of all before   the end
//! ```
//!
//! Numbers are big-endian. A file that was cut or altered is refused before the first row is written. The store's
//! own rows are not in it: whoever loads it decides on the epoch.

use std::io::{self, Read, Seek, Write};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Batch, CommitError, Key, Store, StoreError, folder, tables};
use crate::failpoint;

const MAGIC: &[u8] = b"lineartime dump 1\n";
/// Longer than any row of ours: a length beyond it is damage, not a reason to ask for memory.
const LONGEST: u32 = 256 << 20;
const ROWS_PER_COMMIT: usize = 512;
const OCTETS_PER_COMMIT: usize = 4 << 20;
const PAGES: usize = 4;

/// Why a dump was not written or not loaded.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The file could not be read or written.
    #[error("the backup file could not be read or written: {0}")]
    File(#[from] io::Error),
    /// It is not what was written.
    #[error("the backup file is damaged or incomplete ({0}); nothing of it was loaded, use another one")]
    Damaged(&'static str),
    /// A newer release wrote it.
    #[error("the backup was written by a newer version of this program (format {0}); use that version")]
    Newer(u32),
    /// The store to load into has rows.
    #[error("a backup is only loaded into an empty store")]
    NotEmpty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a dump is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The epoch of the store it was made from.
    pub epoch: String,
    /// How many rows.
    pub rows: u64,
}

/// Writes all rows of one moment. The caller makes the file durable.
pub async fn dump(store: &dyn Store, out: &mut (dyn Write + Send)) -> Result<Summary, DumpError> {
    let (sender, mut pages) = mpsc::channel(PAGES);
    let mut writer = Writer { out, digest: Sha256::new() };
    writer.bytes(MAGIC)?;
    writer.record(&[&folder::SCHEMA.to_be_bytes(), store.epoch().as_bytes()])?;
    let mut rows = 0_u64;
    let write = async {
        // Dropping `pages` on an error ends the walk.
        let mut pages = pages_of(&mut pages);
        while let Some(page) = pages.recv().await {
            for (key, value) in page.iter().filter(|(key, _)| key.table() != tables::OWN) {
                let length = u32::try_from(key.as_bytes().len()).map_err(|_| DumpError::Damaged("a key too long"))?;
                writer.record(&[&length.to_be_bytes(), key.as_bytes(), value])?;
                rows += 1;
                failpoint::reach("backup.copying");
            }
        }
        Ok::<_, DumpError>(())
    };
    let (walked, written) = tokio::join!(store.walk(sender), write);
    written?;
    walked?;
    writer.bytes(&0_u32.to_be_bytes())?;
    writer.bytes(&rows.to_be_bytes())?;
    let digest = writer.digest.finalize();
    writer.out.write_all(&digest)?;
    writer.out.flush()?;
    Ok(Summary { epoch: store.epoch().to_owned(), rows })
}

/// Closes the channel when the reading of it ends, for whatever reason.
struct Closing<'a>(&'a mut mpsc::Receiver<Vec<(Key, Bytes)>>);

fn pages_of(pages: &mut mpsc::Receiver<Vec<(Key, Bytes)>>) -> Closing<'_> {
    Closing(pages)
}

impl Closing<'_> {
    async fn recv(&mut self) -> Option<Vec<(Key, Bytes)>> {
        self.0.recv().await
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    digest: Sha256,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }

    fn record(&mut self, pieces: &[&[u8]]) -> Result<(), DumpError> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let length = u32::try_from(length).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or(DumpError::Damaged("a row too long"))?;
        let sum = pieces.iter().fold(0, |sum, piece| crc32c::crc32c_append(sum, piece));
        self.bytes(&length.to_be_bytes())?;
        self.bytes(&sum.to_be_bytes())?;
        for piece in pieces {
            self.bytes(piece)?;
        }
        Ok(())
    }
}

/// Reads the whole file and says what is in it, or what is wrong with it.
pub fn check(input: &mut dyn Read) -> Result<Summary, DumpError> {
    let mut reader = Reader { input, digest: Sha256::new() };
    let epoch = reader.header()?;
    let mut rows = 0;
    while reader.row()?.is_some() {
        rows += 1;
    }
    reader.end(rows)?;
    Ok(Summary { epoch, rows })
}

/// Loads a dump into an empty store, after all of it was checked.
pub async fn load<R: Read + Seek>(input: &mut R, store: &dyn Store) -> Result<Summary, DumpError> {
    let start = input.stream_position()?;
    let summary = check(input)?;
    let first = Key::new(super::TableId(1), &());
    let used = store.scan(super::KeyRange { start: first, end: folder::everything().end }, 1).await?;
    if !used.is_empty() {
        return Err(DumpError::NotEmpty);
    }
    input.seek(io::SeekFrom::Start(start))?;
    let mut reader = Reader { input, digest: Sha256::new() };
    reader.header()?;
    loop {
        let mut batch = Batch::new();
        let (mut rows, mut octets) = (0, 0);
        while rows < ROWS_PER_COMMIT && octets < OCTETS_PER_COMMIT {
            let Some((key, value)) = reader.row()? else { break };
            rows += 1;
            octets += value.len();
            batch.put(key, value);
        }
        if batch.is_empty() {
            return Ok(summary);
        }
        store.commit(batch).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            // No expectation was made.
            CommitError::Stale(key) => StoreError::damaged(key.table()),
        })?;
    }
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    digest: Sha256,
}

impl Reader<'_> {
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, DumpError> {
        let mut bytes = Vec::new();
        let read = Read::take(&mut *self.input, length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(DumpError::Damaged("it ends early"));
        }
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, DumpError> {
        let bytes = self.exactly(4)?;
        bytes.try_into().map(u32::from_be_bytes).map_err(|_| DumpError::Damaged("it ends early"))
    }

    /// The next record; `None` at the end mark.
    fn record(&mut self) -> Result<Option<Bytes>, DumpError> {
        let length = self.number()?;
        if length == 0 {
            return Ok(None);
        }
        if length > LONGEST {
            return Err(DumpError::Damaged("an impossible length"));
        }
        let sum = self.number()?;
        let body = self.exactly(length as usize)?;
        if crc32c::crc32c(&body) != sum {
            return Err(DumpError::Damaged("a row does not match its checksum"));
        }
        Ok(Some(body.into()))
    }

    fn header(&mut self) -> Result<String, DumpError> {
        if self.exactly(MAGIC.len())? != MAGIC {
            return Err(DumpError::Damaged("it does not begin like one"));
        }
        let body = self.record()?.ok_or(DumpError::Damaged("no header"))?;
        let (schema, epoch) = body.split_first_chunk::<4>().ok_or(DumpError::Damaged("no header"))?;
        let schema = u32::from_be_bytes(*schema);
        if schema > folder::SCHEMA {
            return Err(DumpError::Newer(schema));
        }
        String::from_utf8(epoch.to_vec()).map_err(|_| DumpError::Damaged("no header"))
    }

    fn row(&mut self) -> Result<Option<(Key, Bytes)>, DumpError> {
        let Some(body) = self.record()? else { return Ok(None) };
        let parts = body.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (key, value) = rest.split_at_checked(length)?;
            Some((Key::from_bytes(body.slice_ref(key))?, body.slice_ref(value)))
        });
        parts.map(Some).ok_or(DumpError::Damaged("a row without a key"))
    }

    fn end(&mut self, rows: u64) -> Result<(), DumpError> {
        if self.exactly(8)? != rows.to_be_bytes() {
            return Err(DumpError::Damaged("not as many rows as it says"));
        }
        let digest = self.digest.clone().finalize();
        if self.exactly(digest.len())? != digest.as_slice() {
            return Err(DumpError::Damaged("its digest does not match"));
        }
        let mut more = [0];
        if self.input.read(&mut more)? != 0 {
            return Err(DumpError::Damaged("something follows its end"));
        }
        Ok(())
    }
}
