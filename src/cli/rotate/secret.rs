//! The secret of a new key, which goes to one place and nowhere else.

use serde_json::json;

/// A secret. It has neither `Debug` nor `Display`, so that no log, error or panic can hold it by accident.
pub(super) struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that it is meant for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The SDK and the way here have copies that nobody can reach; this one need not be left too.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        let _ = std::hint::black_box(&bytes);
    }
}

/// A key that was just made.
pub(super) struct NewKey {
    /// Its id.
    pub(super) id: String,
    /// Its secret.
    pub(super) secret: Secret,
    /// Whose it is.
    user_name: String,
}

impl NewKey {
    /// The key that IAM answered with.
    pub(super) fn new(key: aws_sdk_iam::types::AccessKey) -> Self {
        Self {
            id: key.access_key_id,
            secret: Secret(key.secret_access_key),
            user_name: key.user_name,
        }
    }

    /// The key as one JSON document, under the names that the AWS CLI and IAM give the fields. It holds the secret.
    pub(super) fn document(&self) -> String {
        json!({
            "AccessKeyId": self.id,
            "SecretAccessKey": self.secret.reveal(),
            "UserName": self.user_name,
        })
        .to_string()
    }
}
