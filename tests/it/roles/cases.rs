//! What the functions do, case by case. Each holds if its function may do all that it needs.

mod checks;
mod detector;
mod events;
mod lambda;
mod sweeper;

use secondkey::aws::account_users::SweepMode;

use self::checks::Held;
use super::policies::{CENTRAL, MEMBER};
use super::world::World;

/// The user of the cases; root stands under its name in the report.
const USER: &str = "alice";
const ROOT: &str = "<root_account>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The detector tells of a second key, with what is known of its use, and owes nothing afterwards.
    Opened,
    /// It tells when there is one again, and notes that who made the second one is familiar.
    Closed,
    /// What IAM does not show yet is queued to be looked at again.
    LookedAtAgain,
    /// An alert that is overdue and cannot be delivered is put off.
    PutOff,
    /// The keys of root are those of the report.
    Root,
    /// The keys of a member's user are listed there.
    MemberUser,
    /// The keys of a member's root stand in the report there.
    MemberRoot,
    /// The user of a key that AWS Health reports is found.
    Reported,
    /// In a member too.
    MemberReported,
    /// A probe leaves its trace.
    Probed,
    /// A message that cannot be read goes to the dead-letter queue.
    SetAside,
    /// Lambda takes messages from the changes queue with the detector's role.
    ChangesTaken,
    /// And asks how many there are.
    LookedAtChanges,
    /// The hourly call becomes a message for each account of the organisation, with the users whose findings are open.
    AllQueued,
    /// A sweep that lists each user finds who had two keys before, tells it as a digest, and notes that it was there.
    SweptByListing,
    /// One by the report does too.
    SweptByReport,
    /// A member is swept like the own account.
    MemberSwept,
    /// What a sweep cannot be sure of is queued for the detector.
    SweptLookedAtAgain,
    /// A sweep notes that an actor is familiar where the detector could not.
    SweptFamiliar,
    /// A sweep puts off an alert that is overdue and cannot be delivered.
    SweptPutOff,
    /// Lambda takes messages from the sweep queue with the sweeper's role.
    SweepsTaken,
    /// And asks how many there are.
    LookedAtSweeps,
    /// A finding of the own account is imported there.
    ImportedCentrally,
    /// One of a member is imported in the member.
    ImportedInMember,
    /// Lambda leaves in the dead-letter queue what failed.
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

    /// Plays it in a world of its own.
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
