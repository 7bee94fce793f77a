//! The master keys: where they come from, which one seals, and whether they are the right ones.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aes_gcm::Aes256Gcm;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::seal::{self, KeyId};
use super::{Sealed, Secret, VaultError};
use crate::entropy::Entropy;

const KEY: usize = 32;
const CANARY: &[u8] = b"the master key is the right one";
const CANARY_RECORD: &[u8] = b"canary";

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes in base64 or hex.
    #[error("the master key must be 32 bytes, written in base64 or as 64 hexadecimal digits")]
    Malformed,
    /// The file cannot be read or made.
    #[error("the master key file {path} cannot be {doing}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// "read" or "made".
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others on this machine can read the key.
    #[error("the master key file {path} can be read by other users; run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The store was sealed with another key.
    #[error(
        "this is not the master key that the store was sealed with (it has the fingerprint {wanted}); put the right key \
         back into security.master_key or its file, nothing was changed"
    )]
    Wrong {
        /// The key that is needed.
        wanted: KeyId,
    },
    /// The check value itself is damaged.
    #[error("the store's check value for the master key is unusable: {0}")]
    Canary(VaultError),
}

/// One master key.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY]>);

impl MasterKey {
    /// A fresh random key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; KEY]);
        entropy.fill(&mut *key);
        Self(key)
    }

    /// A key as a person writes it: 64 hexadecimal digits, or base64 of either alphabet, with or without padding.
    pub fn parse(text: &Secret) -> Result<Self, KeyError> {
        let text = text.expose_str().ok_or(KeyError::Malformed)?.trim().as_bytes();
        let bytes = if text.len() == 2 * KEY {
            data_encoding::HEXLOWER_PERMISSIVE.decode(text).ok()
        } else {
            [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].iter().find_map(|base| base.decode(text).ok())
        };
        let bytes = Zeroizing::new(bytes.ok_or(KeyError::Malformed)?);
        let key = <[u8; KEY]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Malformed)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Reads the key from a file that only its owner may read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), doing: "read", source };
        refuse_exposed(path, &fs::metadata(path).map_err(failed)?)?;
        Self::parse(&Secret::new(fs::read(path).map_err(failed)?))
    }

    /// Reads the key from `path`, or makes one there (0600, on disk before this returns) if there is no such file.
    /// Call it only for a store that is new or has been opened with this file before.
    pub fn read_or_make(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        match Self::read(path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let key = Self::generate(entropy);
        key.write_new(path).map_err(|source| KeyError::File { path: path.to_owned(), doing: "made", source })?;
        Ok(key)
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(STANDARD.encode(*self.0))));
        // A half-written key would lock the owner out, so the name appears only with the whole of it.
        let draft = path.with_extension("key.new");
        drop(fs::remove_file(&draft));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, does not replace a key that someone else put there meanwhile.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        linked?;
        File::open(folder)?.sync_all()
    }

    /// The key's fingerprint.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::new().chain_update(b"lineartime/key-id/").chain_update(*self.0).finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        KeyId(id)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    // A group may read it (that is how orchestrators mount secrets); the whole machine may not.
    let others = metadata.permissions().mode() & 0o007;
    if others == 0 { Ok(()) } else { Err(KeyError::Exposed { path: path.to_owned() }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// The keys that open, one of which seals. Shared by reference; a changed ring is a new one.
#[derive(Clone)]
pub struct KeyRing {
    active: KeyId,
    sealing: Aes256Gcm,
    opening: BTreeMap<KeyId, Aes256Gcm>,
}

impl KeyRing {
    /// A ring that seals and opens with `active`.
    pub fn load(active: &MasterKey) -> Self {
        let sealing = seal::cipher(&active.0);
        Self { active: active.id(), opening: BTreeMap::from([(active.id(), sealing.clone())]), sealing }
    }

    /// The same ring, which also opens what `old` sealed.
    #[must_use]
    pub fn with_old_key(mut self, old: &MasterKey) -> Self {
        self.opening.insert(old.id(), seal::cipher(&old.0));
        self
    }

    /// The same ring, which seals with `new` from now on and still opens all it did.
    #[must_use]
    pub fn with_new_key(mut self, new: &MasterKey) -> Self {
        self.sealing = seal::cipher(&new.0);
        self.opening.insert(new.id(), self.sealing.clone());
        self.active = new.id();
        self
    }

    /// The key that seals.
    pub fn active(&self) -> KeyId {
        self.active
    }

    /// Whether `sealed` should be sealed again, because another key than the active one did it.
    pub fn is_stale(&self, sealed: &Sealed) -> bool {
        sealed.key_id() != Ok(self.active)
    }

    /// Seals `plain` for the record whose key is `record`.
    pub fn seal(&self, entropy: &dyn Entropy, record: &[u8], plain: &Secret) -> Sealed {
        seal::seal(&self.sealing, self.active, entropy, record, plain)
    }

    /// Opens what was sealed for the record whose key is `record`.
    pub fn open(&self, record: &[u8], sealed: &Sealed) -> Result<Secret, VaultError> {
        seal::open(|key| self.opening.get(&key), record, sealed)
    }

    /// A value to keep in the store, by which [`KeyRing::check`] tells the right keys from wrong ones.
    pub fn canary(&self, entropy: &dyn Entropy) -> Sealed {
        self.seal(entropy, CANARY_RECORD, &Secret::new(CANARY))
    }

    /// Whether these are the keys of the store that keeps `canary`; called before anything is served.
    pub fn check(&self, canary: &Sealed) -> Result<(), KeyError> {
        match self.open(CANARY_RECORD, canary) {
            Ok(plain) if plain.expose() == CANARY => Ok(()),
            Ok(_) => Err(KeyError::Canary(VaultError::Damaged)),
            Err(VaultError::WrongKey(wanted)) => Err(KeyError::Wrong { wanted }),
            Err(other) => Err(KeyError::Canary(other)),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing(sealing with {}, {} keys)", self.active, self.opening.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn key(seed: u64) -> MasterKey {
        MasterKey::generate(&SeededEntropy::new(seed))
    }

    #[test]
    fn a_key_is_read_in_every_spelling_and_nothing_else() {
        let bytes = *key(1).0;
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let mut good = vec![hex.clone(), hex.to_uppercase(), format!("  {hex}\n")];
        good.extend([&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|base| base.encode(bytes)));
        for text in good {
            assert_eq!(MasterKey::parse(&Secret::from(text)).unwrap().id(), key(1).id());
        }
        let short = STANDARD.encode([7; 31]);
        for text in ["", "password", &hex[1..], &format!("{hex}00"), &short, &"g".repeat(64)] {
            assert!(matches!(MasterKey::parse(&Secret::new(text)), Err(KeyError::Malformed)), "{text}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_read_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKey::read_or_make(&path, &SeededEntropy::new(1)).unwrap();
        let read = MasterKey::read_or_make(&path, &SeededEntropy::new(2)).unwrap();
        assert_eq!(made.id(), read.id());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        fs::write(&path, "").unwrap();
        assert!(matches!(MasterKey::read_or_make(&path, &SeededEntropy::new(3)), Err(KeyError::Malformed)));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::read_or_make(&path, &SeededEntropy::new(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::read(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { .. }));
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn the_canary_tells_a_wrong_key_at_the_start() {
        let entropy = SeededEntropy::new(9);
        let right = KeyRing::load(&key(1));
        let canary = right.canary(&entropy);
        right.check(&canary).unwrap();
        let error = KeyRing::load(&key(2)).check(&canary).unwrap_err();
        assert!(matches!(error, KeyError::Wrong { wanted } if wanted == right.active()));
        assert!(error.to_string().contains("nothing was changed"));
        let other = right.seal(&entropy, b"another record", &Secret::new(CANARY));
        assert!(matches!(right.check(&other), Err(KeyError::Canary(VaultError::Damaged))));
    }

    #[test]
    fn a_rotated_ring_opens_the_old_and_seals_with_the_new() {
        let entropy = SeededEntropy::new(9);
        let old = KeyRing::load(&key(1));
        let before = old.seal(&entropy, b"r", &Secret::new("secret"));
        let both = old.with_new_key(&key(2));
        assert_eq!(both.open(b"r", &before).unwrap(), Secret::new("secret"));
        assert!(both.is_stale(&before));
        let after = both.seal(&entropy, b"r", &Secret::new("secret"));
        assert!(!both.is_stale(&after));
        let new = KeyRing::load(&key(2));
        assert_eq!(new.open(b"r", &after).unwrap(), Secret::new("secret"));
        assert!(matches!(new.open(b"r", &before), Err(VaultError::WrongKey(_))));
        assert!(new.with_old_key(&key(1)).open(b"r", &before).is_ok());
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?} {:?}", key(1), KeyRing::load(&key(1)));
        assert!(text.starts_with("MasterKey(..) KeyRing(sealing with "));
        assert!(!text.contains(&data_encoding::HEXLOWER.encode(&*key(1).0)[..8]));
    }
}
