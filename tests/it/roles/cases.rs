//! The functions' tasks, case by case. A case holds if its function has all the permissions that it
//! needs.

mod checks;
mod detector;
mod events;
mod lambda;
mod sweeper;

use secondkey::aws::suspects::SweepMode;

use self::checks::Held;
use super::policies::{CENTRAL, MEMBER};
use super::world::World;

/// The user of the cases. The credential report lists root under its own name.
const USER: &str = "alice";
const ROOT: &str = "<root_account>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The detector reports a second key with its known uses, and nothing is pending afterwards.
    Opened,
    /// It reports when one key is left, and records that the actor of the second one is familiar.
    Closed,
    /// A change that IAM does not show yet is queued for another check.
    LookedAtAgain,
    /// An overdue alert that cannot be delivered is rescheduled.
    PutOff,
    /// Root's keys come from the credential report.
    Root,
    /// The keys of a member's user are listed in the member account.
    MemberUser,
    /// The keys of a member's root come from the member's credential report.
    MemberRoot,
    /// The user of a key that AWS Health reports is found.
    Reported,
    /// The same in a member account.
    MemberReported,
    /// A probe is recorded.
    Probed,
    /// An unreadable message goes to the dead-letter queue.
    SetAside,
    /// Lambda receives messages from the changes queue with the detector's role.
    ChangesTaken,
    /// Lambda reads how many messages there are.
    LookedAtChanges,
    /// The hourly call becomes a message for each account of the organization, with the users whose
    /// findings are open.
    AllQueued,
    /// A sweep that lists each user finds existing pairs, reports them in a digest, and records
    /// that.
    SweptByListing,
    /// A sweep by the report does the same.
    SweptByReport,
    /// A member account is swept like the central account.
    MemberSwept,
    /// What a sweep is not sure of is queued for the detector.
    SweptLookedAtAgain,
    /// A sweep records that an actor is familiar if the detector could not.
    SweptFamiliar,
    /// A sweep reschedules an overdue alert that cannot be delivered.
    SweptPutOff,
    /// Lambda receives messages from the sweep queue with the sweeper's role.
    SweepsTaken,
    /// Lambda reads how many messages there are.
    LookedAtSweeps,
    /// A finding of the central account is imported there.
    ImportedCentrally,
    /// A member's finding is imported in the member account.
    ImportedInMember,
    /// Lambda sends failures to the dead-letter queue.
    FailureKept,
}

impl Case {
    pub const ALL: [Self; 25] = [
        Self::Opened,
        Self::Closed,
        Self::LookedAtAgain,
        Self::PutOff,
        Self::Root,
        Self::MemberUser,
        Self::MemberRoot,
        Self::Reported,
        Self::MemberReported,
        Self::Probed,
        Self::SetAside,
        Self::ChangesTaken,
        Self::LookedAtChanges,
        Self::AllQueued,
        Self::SweptByListing,
        Self::SweptByReport,
        Self::MemberSwept,
        Self::SweptLookedAtAgain,
        Self::SweptFamiliar,
        Self::SweptPutOff,
        Self::SweepsTaken,
        Self::LookedAtSweeps,
        Self::ImportedCentrally,
        Self::ImportedInMember,
        Self::FailureKept,
    ];

    /// Runs the case in a separate world.
    pub async fn hold(self, world: &World) -> Held {
        match self {
            Self::Opened => detector::opened(world).await.map(drop),
            Self::Closed => detector::closed(world).await,
            Self::LookedAtAgain => detector::looked_at_again(world).await,
            Self::PutOff => detector::put_off(world, false).await,
            Self::Root => detector::root(world, CENTRAL).await,
            Self::MemberUser => detector::member_user(world).await,
            Self::MemberRoot => detector::root(world, MEMBER).await,
            Self::Reported => detector::reported(world, CENTRAL).await,
            Self::MemberReported => detector::reported(world, MEMBER).await,
            Self::Probed => detector::probed(world).await,
            Self::SetAside => detector::set_aside(world).await,
            Self::ChangesTaken => {
                lambda::taken(&world.functions[0], &world.wiring.changes_url).await
            }
            Self::LookedAtChanges => {
                lambda::looked_at(&world.functions[0], &world.wiring.changes_url).await
            }
            Self::AllQueued => sweeper::all_queued(world).await,
            Self::SweptByListing => sweeper::swept(world, CENTRAL, SweepMode::List).await,
            Self::SweptByReport => sweeper::swept(world, CENTRAL, SweepMode::Report).await,
            Self::MemberSwept => sweeper::swept(world, MEMBER, SweepMode::List).await,
            Self::SweptLookedAtAgain => sweeper::swept_looked_at_again(world).await,
            Self::SweptFamiliar => sweeper::swept_familiar(world).await,
            Self::SweptPutOff => detector::put_off(world, true).await,
            Self::SweepsTaken => lambda::taken(&world.functions[1], &world.wiring.sweep_url).await,
            Self::LookedAtSweeps => {
                lambda::looked_at(&world.functions[1], &world.wiring.sweep_url).await
            }
            Self::ImportedCentrally => world.forward(events::finding_event(CENTRAL)).await,
            Self::ImportedInMember => world.forward(events::finding_event(MEMBER)).await,
            Self::FailureKept => lambda::send(&world.functions[2], &world.wiring.hub_url).await,
        }
    }
}
