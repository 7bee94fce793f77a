//! A file that only takes up room on the disk: a start on a full disk gives it back, so that an engine, which writes
//! when it opens, has what it needs.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::folder::free;

/// The file in the data folder.
const NAME: &str = "reserve";
/// Its size, which is what an engine may need to open.
const SIZE: u64 = 16 << 20;
/// It is made only where that leaves plenty.
const PLENTY: u64 = 8 * SIZE;

/// Gives the room back if the disk is full. True if it did.
pub fn give_back(path: &Path) -> bool {
    let full = free(path).is_some_and(|free| free < SIZE);
    full && fs::remove_file(path.join(NAME)).is_ok()
}

/// Takes the room, if there is plenty and it is not taken yet.
pub fn take(path: &Path) -> io::Result<()> {
    let file = path.join(NAME);
    let taken = fs::metadata(&file).is_ok_and(|metadata| metadata.len() >= SIZE);
    if taken || free(path).is_none_or(|free| free < PLENTY) {
        return Ok(());
    }
    let made = allocate(&file);
    if made.is_err() {
        // A part of it serves nobody.
        let _gone = fs::remove_file(&file).is_ok();
    }
    made
}

#[cfg(target_os = "linux")]
fn allocate(file: &Path) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let file = File::create(file)?;
    // Not every file system can promise room without writing.
    match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        Ok(()) => Ok(()),
        Err(_) => fill(file),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &Path) -> io::Result<()> {
    fill(File::create(file)?)
}

#[expect(clippy::large_stack_arrays, reason = "written once, at start")]
fn fill(mut file: File) -> io::Result<()> {
    for _ in 0..SIZE >> 16 {
        file.write_all(&[0; 1 << 16])?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_once_and_given_back_only_in_need() {
        let folder = tempfile::tempdir().unwrap();
        take(folder.path()).unwrap();
        let file = folder.path().join(NAME);
        if free(folder.path()).is_some_and(|free| free > PLENTY + SIZE) {
            assert_eq!(fs::metadata(&file).unwrap().len(), SIZE);
            take(folder.path()).unwrap();
            assert!(!give_back(folder.path()) && file.exists());
        }
        // One that was cut is made anew.
        fs::write(&file, b"short").unwrap();
        take(folder.path()).unwrap();
        assert_ne!(fs::metadata(&file).unwrap().len(), 0);
    }

    #[test]
    fn it_takes_real_room() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        allocate(&file).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let taken = fs::metadata(&file).unwrap().blocks() * 512;
            assert!(taken >= SIZE, "{taken} octets");
        }
    }
}
