//! What may happen, step by step. A history is printed as a story.

use std::fmt;

use proptest::prelude::*;

use super::effects::Way;
use super::journal::Down;

/// The names of the users. At first only alice and bob exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Alice,
    Bob,
    Carol,
    Dave,
}

impl Name {
    pub const ALL: [Self; 4] = [Self::Alice, Self::Bob, Self::Carol, Self::Dave];

    pub fn text(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
            Self::Dave => "dave",
        }
    }
}

/// The caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The user of the call.
    Owner,
    Admin,
    Mallory,
    /// A role.
    Ci,
}

impl By {
    const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Mallory, Self::Ci];
}

/// Which of two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Older,
    Newer,
}

/// The caller, and after how many seconds each copy of the event arrives; no copies if it is lost.
#[derive(Clone)]
pub struct Told(pub By, pub Vec<u16>);

/// One thing that happens. An impossible step is skipped.
#[derive(Clone)]
pub enum Step {
    CreateKey(Name, Told),
    Deactivate(Name, Which, Told),
    Reactivate(Name, Which, Told),
    DeleteKey(Name, Which, Told),
    /// Deletes the user with all its keys.
    DeleteUser(Name, Told),
    CreateUser(Name),
    Rename(Name, Name, Told),
    /// `UpdateAccessKey` sets a key to active that is already active.
    ActivateAgain(Name, Which, Told),
    /// An exemption for two active keys of one user or of all, made by one actor or by any, for
    /// some minutes. It replaces the last such step for the same user.
    Exempt(Option<Name>, Option<By>, u16),
    RemoveExemption(Option<Name>),
    /// All users are swept.
    Sweep,
    /// The user is checked without an event.
    LookAt(Name),
    /// Seconds pass.
    Wait(u32),
    SinkDown(&'static str, Down),
    SinkUp(&'static str),
    IamRefuses,
    IamThrottles,
    IamAnswers,
    /// The effect that is so many effects ahead fails.
    Fail(u8, Way),
    /// The worker that has waited longest resumes.
    GoOn,
}

/// A history, and how far each of its listings lags, in hundredths of the consistency window.
#[derive(Clone)]
pub struct History {
    pub steps: Vec<Step>,
    pub lags: Vec<u8>,
}

/// The sinks.
pub const SINKS: [&str; 2] = ["sns", "eventbridge"];

pub fn any_history() -> impl Strategy<Value = History> {
    let of = |may_lose: bool| {
        (
            prop::collection::vec(any_step(may_lose), 1..20),
            prop::collection::vec(
                prop_oneof![2 => Just(0_u8), 1 => 1_u8..15, 1 => 1_u8..100],
                0..12,
            ),
        )
            .prop_map(|(steps, lags)| History { steps, lags })
    };
    prop_oneof![3 => of(false), 1 => of(true)]
}

fn any_step(may_lose: bool) -> impl Strategy<Value = Step> {
    let told = move || any_told(may_lose);
    let name = || {
        prop_oneof![
            5 => Just(Name::Alice),
            2 => Just(Name::Bob),
            1 => Just(Name::Carol),
            1 => Just(Name::Dave),
        ]
    };
    let any_name = || prop::sample::select(&Name::ALL[..]);
    let which = || prop_oneof![Just(Which::Older), Just(Which::Newer)];
    let sink = || prop_oneof![Just(SINKS[0]), Just(SINKS[1])];
    let down = || prop_oneof![2 => Just(Down::ForNow), 1 => Just(Down::ForGood)];
    let hidden_name = || prop::option::of(name());
    let hidden_actor = || prop::option::of(prop::sample::select(&By::ALL[..]));
    let calls = prop_oneof![
        8 => (name(), told()).prop_map(|(name, told)| Step::CreateKey(name, told)),
        4 => (name(), which(), told()).prop_map(|(name, which, told)| Step::Deactivate(name, which, told)),
        3 => (name(), which(), told()).prop_map(|(name, which, told)| Step::Reactivate(name, which, told)),
        2 => (name(), which(), told()).prop_map(|(name, which, told)| Step::ActivateAgain(name, which, told)),
        3 => (name(), which(), told()).prop_map(|(name, which, told)| Step::DeleteKey(name, which, told)),
        1 => (name(), told()).prop_map(|(name, told)| Step::DeleteUser(name, told)),
        1 => name().prop_map(Step::CreateUser),
        5 => (name(), any_name(), told()).prop_map(|(from, to, told)| Step::Rename(from, to, told)),
    ];
    let seconds = prop_oneof![
        6 => 1_u32..12,
        4 => 12_u32..80,
        2 => 80_u32..900,
        1 => 3_600_u32..30 * 3_600,
    ];
    prop_oneof![
        27 => calls,
        1 + 7 * u32::from(may_lose) => name().prop_map(Step::LookAt),
        9 => seconds.prop_map(Step::Wait),
        2 => Just(Step::Sweep),
        2 => (hidden_name(), hidden_actor(), 1_u16..600)
            .prop_map(|(name, by, minutes)| Step::Exempt(name, by, minutes)),
        1 => hidden_name().prop_map(Step::RemoveExemption),
        1 => (sink(), down()).prop_map(|(sink, down)| Step::SinkDown(sink, down)),
        1 => sink().prop_map(Step::SinkUp),
        1 => Just(Step::IamRefuses),
        1 => Just(Step::IamThrottles),
        2 => Just(Step::IamAnswers),
        5 => (0_u8..24, any_way()).prop_map(|(after, way)| Step::Fail(after, way)),
        1 => Just(Step::GoOn),
    ]
}

fn any_way() -> impl Strategy<Value = Way> {
    prop_oneof![
        1 => Just(Way::Error),
        1 => Just(Way::Throttle),
        2 => Just(Way::Timeout),
        2 => Just(Way::AnswerLost),
        3 => Just(Way::Stall),
    ]
}

fn any_told(may_lose: bool) -> impl Strategy<Value = Told> {
    let soon = || 0_u16..6;
    let some_time = || prop_oneof![2 => soon(), 1 => 6_u16..130];
    let lost = u32::from(may_lose) * 3;
    let after = prop_oneof![
        6 => soon().prop_map(|after| vec![after]),
        3 => some_time().prop_map(|after| vec![after]),
        2 => (some_time(), some_time()).prop_map(|(one, other)| vec![one, other]),
        1 => (200_u16..1200).prop_map(|after| vec![after]),
        lost => Just(vec![]),
    ];
    (prop::sample::select(&By::ALL[..]), after).prop_map(|(by, after)| Told(by, after))
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "by {:?}, ", self.0)?;
        if self.1.is_empty() {
            return formatter.write_str("the event is lost");
        }
        let after: Vec<String> = self.1.iter().map(u16::to_string).collect();
        write!(formatter, "told after {} s", after.join(" s and "))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateKey(name, told) => write!(to, "{name:?} gets a key; {told:?}"),
            Self::Deactivate(name, which, told) => {
                write!(
                    to,
                    "{name:?}'s {which:?} active key is deactivated; {told:?}"
                )
            }
            Self::Reactivate(name, which, told) => {
                write!(
                    to,
                    "{name:?}'s {which:?} inactive key is reactivated; {told:?}"
                )
            }
            Self::DeleteKey(name, which, told) => {
                write!(to, "{name:?}'s {which:?} key is deleted; {told:?}")
            }
            Self::DeleteUser(name, told) => write!(to, "{name:?} is deleted; {told:?}"),
            Self::CreateUser(name) => write!(to, "{name:?} is created"),
            Self::Rename(from, new, told) => {
                write!(to, "{from:?} is renamed to {new:?}; {told:?}")
            }
            Self::ActivateAgain(name, which, told) => {
                write!(
                    to,
                    "{name:?}'s {which:?} active key is made active; {told:?}"
                )
            }
            Self::Exempt(name, by, minutes) => {
                write!(
                    to,
                    "keys of {name:?} made by {by:?} are exempt for {minutes} min"
                )
            }
            Self::RemoveExemption(name) => write!(to, "the exemption of {name:?} is removed"),
            Self::Sweep => to.write_str("a sweep"),
            Self::LookAt(name) => write!(to, "{name:?} is looked at"),
            Self::Wait(seconds) => write!(to, "{seconds} s pass"),
            Self::SinkDown(sink, down) => write!(to, "{sink} is down, {down:?}"),
            Self::SinkUp(sink) => write!(to, "{sink} is up"),
            Self::IamRefuses => to.write_str("IAM refuses to list"),
            Self::IamThrottles => to.write_str("IAM throttles"),
            Self::IamAnswers => to.write_str("IAM answers again"),
            Self::Fail(after, way) => write!(to, "the effect after {after} more: {way:?}"),
            Self::GoOn => to.write_str("the stalled worker goes on"),
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(to, "  {step:?}")?;
        }
        write!(
            to,
            "  listings lag by hundredths of the consistency window: {:?}",
            self.lags
        )
    }
}
