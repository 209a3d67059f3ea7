//! Who runs a command, as AWS knows them.

use aws_config::SdkConfig;

use crate::aws::errors::service_error;
use crate::detect::actor::Actor;
use crate::pipeline::error::ServiceError;

/// Who runs the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the credentials are of.
    pub account: String,
    /// The ARN, which CloudTrail gives as the actor's too.
    pub arn: String,
}

impl Caller {
    /// Asks STS who `config` makes us, which needs no permission.
    pub async fn ask(config: &SdkConfig) -> Result<Self, ServiceError> {
        let what = "sts:GetCallerIdentity";
        let answer = aws_sdk_sts::Client::new(config)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| service_error(what, &error))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Self { account, arn }),
            _ => Err(ServiceError::retryable(format!(
                "{what} failed: the answer names nobody"
            ))),
        }
    }

    /// The partition of AWS that the account is in: `aws`, `aws-cn`, `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or("aws")
    }

    /// The caller as whoever makes a change that is recorded.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let resource = self.arn.split_once(":user/").map(|(_, path)| path);
        Actor {
            kind: resource.map(|_| "IAMUser".to_owned()),
            // An ARN of a user holds its path too.
            name: resource.and_then(|path| path.rsplit('/').next().map(str::to_owned)),
            arn: Some(self.arn.clone()),
            account: Some(self.account.clone()),
            ..Actor::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(arn: &str) -> Caller {
        Caller {
            account: "111122223333".to_owned(),
            arn: arn.to_owned(),
        }
    }

    #[test]
    fn a_user_is_known_by_its_name_and_a_role_by_its_arn_only() {
        let user = caller("arn:aws-cn:iam::111122223333:user/team/alice");
        assert_eq!(user.actor().name.as_deref(), Some("alice"));
        assert_eq!(user.partition(), "aws-cn");
        let role = caller("arn:aws:sts::111122223333:assumed-role/Admin/alice");
        assert_eq!((role.actor().name, role.actor().kind), (None, None));
        assert_eq!(role.actor().label(), role.arn);
    }
}
