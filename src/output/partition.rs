//! The partitions of AWS: their names in ARNs, their regions, and the one region of each in which
//! IAM's events arrive.
//!
//! Sources: AWS general reference, *AWS service endpoints* and *Amazon Resource Names*; IAM user
//! guide, *Logging IAM and AWS STS API calls with AWS CloudTrail*.

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its name in ARNs.
    pub name: &'static str,
    /// The beginning of its regions' names; empty for the commercial partition.
    prefix: &'static str,
    /// The region in which IAM's events arrive. IAM is global within a partition.
    pub region_of_iam: &'static str,
    /// Its regions, as far as this version knows them.
    pub regions: &'static [&'static str],
}

const COMMERCIAL: Partition = Partition {
    name: "aws",
    prefix: "",
    region_of_iam: "us-east-1",
    regions: &[
        "af-south-1",
        "ap-east-1",
        "ap-east-2",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-northeast-3",
        "ap-south-1",
        "ap-south-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-southeast-3",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-central-1",
        "ca-west-1",
        "eu-central-1",
        "eu-central-2",
        "eu-north-1",
        "eu-south-1",
        "eu-south-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "il-central-1",
        "me-central-1",
        "me-south-1",
        "mx-central-1",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    ],
};

const OTHERS: [Partition; 7] = [
    Partition {
        name: "aws-cn",
        prefix: "cn-",
        region_of_iam: "cn-north-1",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        name: "aws-us-gov",
        prefix: "us-gov-",
        region_of_iam: "us-gov-west-1",
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
    Partition {
        name: "aws-eusc",
        prefix: "eusc-",
        region_of_iam: "eusc-de-east-1",
        regions: &["eusc-de-east-1"],
    },
    Partition {
        name: "aws-iso",
        prefix: "us-iso-",
        region_of_iam: "us-iso-east-1",
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        name: "aws-iso-b",
        prefix: "us-isob-",
        region_of_iam: "us-isob-east-1",
        regions: &["us-isob-east-1"],
    },
    Partition {
        name: "aws-iso-e",
        prefix: "eu-isoe-",
        region_of_iam: "eu-isoe-west-1",
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        name: "aws-iso-f",
        prefix: "us-isof-",
        region_of_iam: "us-isof-south-1",
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
];

impl Partition {
    /// All partitions, the commercial one first.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [&COMMERCIAL].into_iter().chain(&OTHERS)
    }

    /// The partition of `region`. A region of no other known partition is commercial.
    #[must_use]
    pub fn of(region: &str) -> &'static Self {
        let other = OTHERS.iter().find(|one| region.starts_with(one.prefix));
        other.unwrap_or(&COMMERCIAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iam_events_are_in_one_region_per_partition() {
        for (region, name, right) in [
            ("eu-central-1", "aws", "us-east-1"),
            ("us-west-2", "aws", "us-east-1"),
            ("", "aws", "us-east-1"),
            ("cn-northwest-1", "aws-cn", "cn-north-1"),
            ("us-gov-east-1", "aws-us-gov", "us-gov-west-1"),
            ("eusc-de-east-1", "aws-eusc", "eusc-de-east-1"),
            ("us-iso-west-1", "aws-iso", "us-iso-east-1"),
            ("us-isob-east-1", "aws-iso-b", "us-isob-east-1"),
        ] {
            let partition = Partition::of(region);
            assert_eq!((partition.name, partition.region_of_iam), (name, right));
        }
    }

    #[test]
    fn each_partition_contains_its_own_regions() {
        for partition in Partition::all() {
            assert!(partition.regions.contains(&partition.region_of_iam));
            for region in partition.regions {
                assert_eq!(Partition::of(region), partition, "{region}");
            }
        }
    }
}
