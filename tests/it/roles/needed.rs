//! Which case fails without which permission.

use super::cases::Case;
use super::policies::AUDIT;

const DETECTOR: &str = "DetectorRole";
const SWEEPER: &str = "SweeperRole";
const HUB: &str = "SecurityHubRole";

/// A role, a statement, and the elements that are needed, each with its case.
pub type Needed = (&'static str, &'static str, &'static [(&'static str, Case)]);

/// What cannot be tested here, and why.
pub const UNTRIED: [(&str, &str); 2] = [
    (
        "kms:",
        "DynamoDB and SNS call KMS in the caller's name; moto's do not",
    ),
    ("logs:", "Lambda writes the log, with the function's role"),
];

/// Every action of every role, except those above.
pub const ACTIONS: &[Needed] = &[
    (
        DETECTOR,
        "ReceiveChangesAndQueueRechecks",
        &[
            ("sqs:ReceiveMessage", Case::ChangesTaken),
            ("sqs:DeleteMessage", Case::ChangesTaken),
            ("sqs:GetQueueAttributes", Case::LookedAtChanges),
            ("sqs:SendMessage", Case::LookedAtAgain),
        ],
    ),
    (
        DETECTOR,
        "SetUnreadableMessagesAside",
        &[("sqs:SendMessage", Case::SetAside)],
    ),
    (
        DETECTOR,
        "ReadRecordsExemptionsAndPendingAlerts",
        &[
            ("dynamodb:GetItem", Case::Opened),
            ("dynamodb:Query", Case::Opened),
        ],
    ),
    (
        DETECTOR,
        "CommitDecisions",
        &[("dynamodb:PutItem", Case::Opened)],
    ),
    (
        DETECTOR,
        "RescheduleAndDeletePendingAlertsOnly",
        &[
            ("dynamodb:UpdateItem", Case::PutOff),
            ("dynamodb:DeleteItem", Case::Opened),
        ],
    ),
    (
        DETECTOR,
        "ListTheKeysOfOneUser",
        &[
            ("iam:ListAccessKeys", Case::Opened),
            ("iam:GetAccessKeyLastUsed", Case::Opened),
        ],
    ),
    (
        DETECTOR,
        "ReadTheReportForRootsKeys",
        &[
            ("iam:GenerateCredentialReport", Case::Root),
            ("iam:GetCredentialReport", Case::Root),
        ],
    ),
    (DETECTOR, "AlertPeople", &[("sns:Publish", Case::Opened)]),
    (
        DETECTOR,
        "AlertPrograms",
        &[("events:PutEvents", Case::Opened)],
    ),
    (
        DETECTOR,
        "ListKeysInMemberAccounts",
        &[("sts:AssumeRole", Case::MemberUser)],
    ),
    (
        SWEEPER,
        "ReceiveSweepsAndQueueOnePerAccount",
        &[
            ("sqs:ReceiveMessage", Case::SweepsTaken),
            ("sqs:DeleteMessage", Case::SweepsTaken),
            ("sqs:GetQueueAttributes", Case::LookedAtSweeps),
            ("sqs:SendMessage", Case::AllQueued),
        ],
    ),
    (
        SWEEPER,
        "QueueRechecksForTheDetector",
        &[("sqs:SendMessage", Case::SweptLookedAtAgain)],
    ),
    (
        SWEEPER,
        "ReadRecordsExemptionsPendingAlertsAndAccounts",
        &[
            ("dynamodb:GetItem", Case::SweptByListing),
            ("dynamodb:Query", Case::SweptByListing),
        ],
    ),
    (
        SWEEPER,
        "FindOpenFindingsAndDueWork",
        &[("dynamodb:Query", Case::AllQueued)],
    ),
    (
        SWEEPER,
        "CommitDecisions",
        &[("dynamodb:PutItem", Case::SweptByListing)],
    ),
    (
        SWEEPER,
        "RescheduleAndDeletePendingAlertsOnly",
        &[
            ("dynamodb:UpdateItem", Case::SweptPutOff),
            ("dynamodb:DeleteItem", Case::SweptByListing),
        ],
    ),
    (
        SWEEPER,
        "ListTheKeysOfEachUser",
        &[
            ("iam:ListAccessKeys", Case::SweptByListing),
            ("iam:GetAccessKeyLastUsed", Case::SweptByListing),
        ],
    ),
    (
        SWEEPER,
        "ListUsersAndReadTheReport",
        &[
            ("iam:ListUsers", Case::SweptByListing),
            ("iam:GenerateCredentialReport", Case::SweptByReport),
            ("iam:GetCredentialReport", Case::SweptByReport),
        ],
    ),
    (
        SWEEPER,
        "ListTheOrganizationsAccounts",
        &[("organizations:ListAccounts", Case::AllQueued)],
    ),
    (
        SWEEPER,
        "AlertPeople",
        &[("sns:Publish", Case::SweptByListing)],
    ),
    (
        SWEEPER,
        "AlertPrograms",
        &[("events:PutEvents", Case::SweptByListing)],
    ),
    (
        SWEEPER,
        "ListUsersAndKeysInMemberAccounts",
        &[("sts:AssumeRole", Case::MemberSwept)],
    ),
    (
        HUB,
        "ImportUnderThisAccountsOwnProduct",
        &[("securityhub:BatchImportFindings", Case::ImportedCentrally)],
    ),
    (
        HUB,
        "ImportUnderTheMembersOwnProducts",
        &[("sts:AssumeRole", Case::ImportedInMember)],
    ),
    (
        HUB,
        "SendFailuresToTheDeadLetters",
        &[("sqs:SendMessage", Case::FailureKept)],
    ),
    (
        AUDIT,
        "ListTheKeysOfUsers",
        &[
            ("iam:ListAccessKeys", Case::MemberUser),
            ("iam:GetAccessKeyLastUsed", Case::MemberUser),
        ],
    ),
    (
        AUDIT,
        "ListUsersAndReadTheReport",
        &[
            ("iam:ListUsers", Case::MemberSwept),
            ("iam:GenerateCredentialReport", Case::MemberRoot),
            ("iam:GetCredentialReport", Case::MemberRoot),
        ],
    ),
    (
        AUDIT,
        "ImportUnderThisAccountsOwnProduct",
        &[("securityhub:BatchImportFindings", Case::ImportedInMember)],
    ),
];

/// Every partition of the table in a statement that names more than one.
pub const PARTITIONS: &[Needed] = &[
    (
        DETECTOR,
        "ReadRecordsExemptionsAndPendingAlerts",
        &[
            ("USER#*", Case::Opened),
            ("OWED#*", Case::Opened),
            ("EXEMPTION#*", Case::Opened),
            ("FAMILIAR#*", Case::Opened),
        ],
    ),
    (
        DETECTOR,
        "CommitDecisions",
        &[
            ("USER#*", Case::Opened),
            ("AUDIT#*", Case::Opened),
            ("OWED#*", Case::Opened),
            ("EVENT#*", Case::Opened),
            ("FAMILIAR#*", Case::Closed),
            ("PROBE#*", Case::Probed),
            ("ACCOUNT", Case::MemberUser),
        ],
    ),
    (
        SWEEPER,
        "ReadRecordsExemptionsPendingAlertsAndAccounts",
        &[
            ("USER#*", Case::SweptByListing),
            ("OWED#*", Case::SweptByListing),
            ("EXEMPTION#*", Case::SweptByListing),
            ("FAMILIAR#*", Case::SweptByListing),
            ("ACCOUNT", Case::SweptByListing),
        ],
    ),
    (
        SWEEPER,
        "CommitDecisions",
        &[
            ("USER#*", Case::SweptByListing),
            ("AUDIT#*", Case::SweptByListing),
            ("OWED#*", Case::SweptByListing),
            ("FAMILIAR#*", Case::SweptFamiliar),
            ("ACCOUNT", Case::SweptByListing),
        ],
    ),
];

/// Every resource in a statement that names more than one.
pub const RESOURCES: &[Needed] = &[(
    SWEEPER,
    "FindOpenFindingsAndDueWork",
    &[
        (
            "arn:aws:dynamodb:us-east-1:123456789012:table/secondkey/index/findings",
            Case::AllQueued,
        ),
        (
            "arn:aws:dynamodb:us-east-1:123456789012:table/secondkey/index/due",
            Case::AllQueued,
        ),
    ],
)];
