//! The AWS identity that runs a command.

use aws_config::SdkConfig;

use crate::aws::sdk_errors::service_error;
use crate::detect::arn::Arn;
use crate::detect::events::actor::Actor;
use crate::pipeline::error::ServiceError;

/// The caller, as STS reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The account of the credentials.
    pub account: String,
    /// The ARN. CloudTrail reports the same one for the actor.
    pub arn: String,
}

impl Caller {
    /// Asks STS whose credentials `config` holds. This needs no permission.
    pub(crate) async fn ask(config: &SdkConfig) -> Result<Self, ServiceError> {
        let what = "sts:GetCallerIdentity";
        let answer = aws_sdk_sts::Client::new(config)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| service_error(what, &error))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Self { account, arn }),
            _ => Err(ServiceError::retryable(format!(
                "{what} failed: the response has no account or no ARN"
            ))),
        }
    }

    /// The account's partition: `aws`, `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub(crate) fn partition(&self) -> &str {
        Arn::parse(&self.arn).map_or("aws", |arn| arn.partition)
    }

    /// The caller as the actor of a recorded change.
    #[must_use]
    pub(crate) fn actor(&self) -> Actor {
        let resource = Arn::parse(&self.arn).and_then(|arn| arn.resource.strip_prefix("user/"));
        Actor {
            kind: resource.map(|_| "IAMUser".to_owned()),
            // A user's ARN contains its path.
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
