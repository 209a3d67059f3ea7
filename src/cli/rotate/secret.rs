//! The secret of a new key, which is stored in only one place.

use serde_json::json;

/// A secret. It has neither `Debug` nor `Display`, so that it cannot get into a log, an error or a panic
/// by accident.
pub(super) struct Secret(String);

impl Secret {
    /// The secret itself, for the place where it is stored.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The SDK keeps copies that we cannot reach, but this one can be erased.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        let _ = std::hint::black_box(&bytes);
    }
}

/// A key that was just created.
pub(super) struct NewKey {
    /// Its id.
    pub(super) id: String,
    /// Its secret.
    pub(super) secret: Secret,
    /// The user's name.
    user_name: String,
}

impl NewKey {
    /// The key from IAM's response.
    pub(super) fn new(key: aws_sdk_iam::types::AccessKey) -> Self {
        Self {
            id: key.access_key_id,
            secret: Secret(key.secret_access_key),
            user_name: key.user_name,
        }
    }

    /// The key as one JSON document, with the field names of the AWS CLI and IAM. It contains the secret.
    pub(super) fn document(&self) -> String {
        json!({
            "AccessKeyId": self.id,
            "SecretAccessKey": self.secret.reveal(),
            "UserName": self.user_name,
        })
        .to_string()
    }
}
