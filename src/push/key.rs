//! The key pair by which push services know this server (RFC 8292), sealed in the store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use web_push_native::p256::ecdsa::signature::Signer as _;
use web_push_native::p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use super::PushError;
use crate::entropy::Entropy;
use crate::store::{Batch, CommitError, Record, Store, Table, tables};
use crate::vault::{KeyRing, Sealed, Secret, VaultError};

/// The private key, and the public one as clients are told it.
pub(super) struct Vapid {
    private: SigningKey,
    public: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeyRow {
    sealed: Sealed,
}

impl Record for KeyRow {
    const FORMAT: u8 = 1;
}

impl Vapid {
    /// The key of this store; made if there is none.
    pub(super) async fn open(store: &dyn Store, keys: &KeyRing, entropy: &dyn Entropy) -> Result<Self, PushError> {
        let record = KEYS.key(&name());
        if let Some(row) = KEYS.get(store, &name()).await? {
            return Self::read(&keys.open(record.as_bytes(), &row.sealed)?);
        }
        let secret = generate(entropy);
        let mut batch = Batch::new();
        KEYS.expect_absent(&mut batch, &name());
        KEYS.put(&mut batch, &name(), &KeyRow { sealed: keys.seal(entropy, record.as_bytes(), &secret) });
        match store.commit(batch).await {
            Ok(_) => Self::read(&secret),
            Err(CommitError::Store(error)) => Err(error.into()),
            // Another process was faster: its key is the one.
            Err(CommitError::Stale(_)) => match KEYS.get(store, &name()).await? {
                Some(row) => Self::read(&keys.open(record.as_bytes(), &row.sealed)?),
                None => Err(VaultError::Damaged.into()),
            },
        }
    }

    /// Seals the key again if another master key than the newest did it.
    pub(super) async fn reseal(store: &dyn Store, keys: &KeyRing, entropy: &dyn Entropy) -> Result<bool, PushError> {
        let Some(row) = KEYS.get(store, &name()).await?.filter(|row| keys.is_stale(&row.sealed)) else {
            return Ok(false);
        };
        let record = KEYS.key(&name());
        let secret = keys.open(record.as_bytes(), &row.sealed)?;
        let mut batch = Batch::new();
        KEYS.put(&mut batch, &name(), &KeyRow { sealed: keys.seal(entropy, record.as_bytes(), &secret) });
        store.commit(batch).await?;
        Ok(true)
    }

    fn read(secret: &Secret) -> Result<Self, PushError> {
        let private = SigningKey::from_slice(secret.expose()).map_err(|_| VaultError::Damaged)?;
        let public = URL_SAFE_NO_PAD.encode(private.verifying_key().to_encoded_point(false).as_bytes());
        Ok(Self { private, public })
    }

    pub(super) fn public(&self) -> &str {
        &self.public
    }

    /// The Authorization field of a message to `endpoint` (RFC 8292 2, 3).
    pub(super) fn authorization(&self, endpoint: &Uri, contact: &str, now: Timestamp) -> String {
        let scheme = endpoint.scheme_str().unwrap_or("https");
        let authority = endpoint.authority().map_or("", http::uri::Authority::as_str);
        let claims = serde_json::json!({
            "aud": format!("{scheme}://{authority}"),
            "exp": now.as_second().saturating_add(VALID_SECONDS),
            "sub": contact,
        });
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let signed = format!("{}.{}", part(r#"{"typ":"JWT","alg":"ES256"}"#), part(&claims.to_string()));
        let signature: Signature = self.private.sign(signed.as_bytes());
        format!("vapid t={signed}.{}, k={}", URL_SAFE_NO_PAD.encode(signature.to_bytes()), self.public)
    }
}

fn generate(entropy: &dyn Entropy) -> Secret {
    loop {
        let mut octets = Zeroizing::new([0_u8; 32]);
        entropy.fill(&mut *octets);
        // All but about one in 2^32 are the number of a point on the curve.
        if SigningKey::from_slice(&*octets).is_ok() {
            return Secret::new(octets.as_slice());
        }
    }
}

fn name() -> String {
    "vapid".to_owned()
}

const KEYS: Table<String, KeyRow> = Table::new(tables::META);
/// RFC 8292 2: a day at most.
const VALID_SECONDS: i64 = 12 * 60 * 60;
