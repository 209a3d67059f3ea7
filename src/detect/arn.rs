//! Amazon Resource Names.

/// The parts of an ARN. Source: AWS general reference, *Amazon Resource Names*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    /// `aws`, `aws-cn` and so on.
    pub(crate) partition: &'a str,
    /// `iam`, `sts` and so on.
    pub(crate) service: &'a str,
    /// Empty for a global service such as IAM.
    pub(crate) region: &'a str,
    /// Empty for a resource that has none.
    pub(crate) account: &'a str,
    /// The rest, which may contain colons: `user/team/alice`.
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// The parts of `text`, or `None` if it is not an ARN.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts_and_the_last_may_contain_colons() {
        let session = "arn:aws-cn:sts::111122223333:assumed-role/ci/build:7";
        let expected = Arn {
            partition: "aws-cn",
            service: "sts",
            region: "",
            account: "111122223333",
            resource: "assumed-role/ci/build:7",
        };
        assert_eq!(Arn::parse(session), Some(expected));
        for other in ["", "alice", "arn:aws:iam::1", "x:aws:iam::1:user/a"] {
            assert_eq!(Arn::parse(other), None, "{other}");
        }
    }
}
