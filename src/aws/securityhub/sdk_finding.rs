//! Converts an ASFF finding to the SDK's type.

use aws_sdk_securityhub::types::{
    AwsIamAccessKeyDetails, AwsIamUserDetails, AwsSecurityFinding, Compliance,
    FindingProviderFields, FindingProviderSeverity, Recommendation, Remediation, Resource,
    ResourceDetails,
};

use crate::output::asff::wire;

/// Converts `finding` without its workflow. Security Hub manages the workflow itself and ignores
/// ours once it has the finding. A finding imported as suppressed would stay hidden after its
/// exemption ends.
pub(super) fn to_sdk(finding: &wire::AsffFinding) -> AwsSecurityFinding {
    let provided = &finding.finding_provider_fields;
    let severity = FindingProviderSeverity::builder().label(provided.severity.label.into());
    let recommendation = &finding.remediation.recommendation;
    let recommendation = Recommendation::builder()
        .text(&recommendation.text)
        .url(recommendation.url);
    AwsSecurityFinding::builder()
        .schema_version(finding.schema_version)
        .id(&finding.id)
        .product_arn(&finding.product_arn)
        .product_name(finding.product_name)
        .generator_id(finding.generator_id)
        .aws_account_id(&finding.aws_account_id)
        .created_at(&finding.created_at)
        .updated_at(&finding.updated_at)
        .set_first_observed_at(finding.first_observed_at.clone())
        .last_observed_at(&finding.last_observed_at)
        .title(&finding.title)
        .description(&finding.description)
        .remediation(
            Remediation::builder()
                .recommendation(recommendation.build())
                .build(),
        )
        .set_product_fields(Some(
            finding
                .product_fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        ))
        .set_resources(Some(finding.resources.iter().map(resource).collect()))
        .compliance(
            Compliance::builder()
                .status(finding.compliance.status.into())
                .build(),
        )
        .record_state(finding.record_state.into())
        .finding_provider_fields(
            FindingProviderFields::builder()
                .severity(severity.build())
                .set_types(Some(
                    provided.types.iter().map(ToString::to_string).collect(),
                ))
                .build(),
        )
        .build()
}

fn resource(resource: &wire::Resource) -> Resource {
    Resource::builder()
        .r#type(resource.kind)
        .id(&resource.id)
        .partition(resource.partition.into())
        .set_details(resource.details.as_ref().map(details))
        .build()
}

fn details(details: &wire::Details) -> ResourceDetails {
    match details {
        wire::Details::AwsIamUser(user) => ResourceDetails::builder().aws_iam_user(
            AwsIamUserDetails::builder()
                .user_name(&user.user_name)
                .build(),
        ),
        wire::Details::AwsIamAccessKey(key) => ResourceDetails::builder().aws_iam_access_key(
            AwsIamAccessKeyDetails::builder()
                .access_key_id(&key.access_key_id)
                .account_id(&key.account_id)
                .principal_name(&key.principal_name)
                .principal_type(key.principal_type)
                .set_status(key.status.map(Into::into))
                .set_created_at(key.created_at.clone())
                .build(),
        ),
    }
    .build()
}
