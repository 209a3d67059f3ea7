//! The parts that the functions that re-check users share, built from their settings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;

use crate::aws::account_registry::AccountRegistry;
use crate::aws::accounts::Accounts;
use crate::aws::dead_letter_queue::DeadLetterQueue;
use crate::aws::dynamodb::DynamoDbStore;
use crate::aws::eventbridge::EventBridgeSink;
use crate::aws::iam::IamKeySource;
use crate::aws::recheck_queue::RecheckQueue;
use crate::aws::settings::Settings;
use crate::aws::sns::SnsSink;
use crate::output::invocation::Invocation;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::recheck::Dependencies;

/// The pause before each message that the sweeper sends to people. SNS deactivates an email
/// subscription that gets more than ten messages a second (SNS quotas). The template limits how
/// many sweeps run at once, which is then the most messages that they send in a second.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The state that a function keeps between invocations.
pub struct Deployment {
    /// The dependencies of a re-check.
    pub dependencies: Dependencies,
    /// The table, for data that is not about one user.
    pub table: DynamoDbStore,
    /// The accounts whose users can be listed.
    pub accounts: Arc<Accounts<aws_sdk_iam::Client>>,
    /// The accounts that are not watched.
    pub excluded_accounts: BTreeSet<String>,
    /// The queue for re-checks.
    pub rechecks: RecheckQueue,
    /// The accounts that are registered for the sweeper.
    pub registry: AccountRegistry,
    /// Where unreadable messages go, if anywhere.
    pub dead_letters: Option<DeadLetterQueue>,
}

impl Deployment {
    /// Builds the deployment for `settings` and `config`.
    #[must_use]
    pub fn new(settings: Settings, config: &SdkConfig) -> Self {
        Self::build(settings, config, |sink| sink)
    }

    /// The same for the sweeper, which pauses before each message to people.
    #[must_use]
    pub fn for_sweeps(settings: Settings, config: &SdkConfig) -> Self {
        Self::build(settings, config, |sink| sink.paced(SWEEP_PAUSE))
    }

    fn build(
        settings: Settings,
        config: &SdkConfig,
        pace: impl FnOnce(SnsSink) -> SnsSink,
    ) -> Self {
        let mut sinks: Vec<Box<dyn AlertSink>> = vec![];
        if let Some(topic_arn) = settings.alert_topic_arn {
            let client = aws_sdk_sns::Client::new(config);
            let region = config.region().map(AsRef::as_ref);
            let invocation = Invocation::deployed(&settings.table, region);
            sinks.push(Box::new(pace(SnsSink::new(client, topic_arn, invocation))));
        }
        if let Some(bus_name) = settings.event_bus_name {
            let client = aws_sdk_eventbridge::Client::new(config);
            // Even if nothing is imported: a refresh may be pending from before.
            let refreshes = EventBridgeSink::for_refreshes(client.clone(), bus_name.clone());
            sinks.push(Box::new(refreshes));
            sinks.push(Box::new(EventBridgeSink::new(client, bus_name)));
        }
        let sqs = aws_sdk_sqs::Client::new(config);
        let table = DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), settings.table);
        let accounts = Arc::new(Accounts::new(
            config.clone(),
            settings.account,
            settings.member_role,
            aws_sdk_iam::Client::new,
        ));
        Self {
            dependencies: Dependencies {
                store: Arc::new(table.clone()),
                keys: Arc::new(IamKeySource::new(accounts.clone())),
                sinks,
                policy: settings.policy,
            },
            table,
            accounts,
            excluded_accounts: settings.excluded_accounts,
            dead_letters: settings
                .dead_letter_queue_url
                .map(|queue_url| DeadLetterQueue::new(sqs.clone(), queue_url)),
            rechecks: RecheckQueue::new(sqs, settings.changes_queue_url),
            registry: AccountRegistry::default(),
        }
    }
}
