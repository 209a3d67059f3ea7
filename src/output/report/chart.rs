//! The timeline as SVG words and numbers.

use chrono::TimeDelta;
use serde::Serialize;

use crate::output::number::count;
use crate::output::overlap_start::{beginning, lasted, since};
use crate::output::report::counts::{percent, ratio};
use crate::output::report::rows::{id, shown_user, time};
use crate::output::report::timeline::{SLICES, Timeline, Window};
use crate::output::time::duration;

/// The smallest width of a window, as a share of the whole.
const MIN_WINDOW_SHARE: f64 = 0.001;

/// After this share of the axis, a label that begins at its mark would leave the page.
const LATE: f64 = 0.8;

/// The timeline.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    most: usize,
    slice: String,
    slices: Vec<[String; 4]>,
    slice_width: String,
    /// Where each mark is, its label, and whether the label has to end there.
    ticks: Vec<(String, String, bool)>,
    /// Whether nothing is known about the end of a window.
    has_unknown: bool,
    rows: Vec<TimelineRow>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct TimelineRow {
    user: String,
    account: String,
    total: String,
    words: String,
    windows: Vec<WindowText>,
}

#[derive(Debug, Serialize)]
struct WindowText {
    start: String,
    width: String,
    /// Where the part begins about which nothing is known.
    unknown: Option<String>,
    kind: &'static str,
    words: String,
}

/// `timeline` in words and numbers.
pub(super) fn chart(timeline: &Timeline<'_>) -> Chart {
    let most = timeline.slices.iter().copied().max().unwrap_or(0);
    let slices = timeline.slices.iter().enumerate();
    Chart {
        most,
        slice: duration(rounded(timeline.slice)),
        slices: slices
            .filter(|(_, users)| **users > 0)
            .map(|(place, users)| {
                let height = ratio(*users, most);
                let start = percent(ratio(place, SLICES));
                [
                    start,
                    percent(1.0 - height),
                    percent(height),
                    users.to_string(),
                ]
            })
            .collect(),
        slice_width: percent(ratio(1, SLICES) * 0.8),
        ticks: timeline
            .ticks
            .iter()
            .map(|tick| {
                let is_late = tick.place > LATE;
                (percent(tick.place), tick.label.clone(), is_late)
            })
            .collect(),
        has_unknown: timeline
            .rows
            .iter()
            .flat_map(|row| &row.windows)
            .any(|window| window.is_end_unknown),
        rows: timeline
            .rows
            .iter()
            .map(|row| {
                let windows = row.windows.iter().map(|window| WindowText {
                    start: percent(window.start),
                    // A rectangle of width zero is not drawn, and short windows are the good news.
                    width: percent((window.end - window.start).max(MIN_WINDOW_SHARE)),
                    unknown: window.is_end_unknown.then(|| percent(window.end)),
                    kind: window.kind(),
                    words: window_words(window),
                });
                TimelineRow {
                    user: shown_user(row.latest),
                    account: id(row.latest.user().account()),
                    total: duration(row.total),
                    words: count(row.windows.len(), "window"),
                    windows: windows.collect(),
                }
            })
            .collect(),
        more: timeline.more,
    }
}

/// `slice` in whole minutes, or in hours if it is long.
fn rounded(slice: TimeDelta) -> TimeDelta {
    let unit = if slice > TimeDelta::hours(10) {
        3_600
    } else {
        60
    };
    let units = (slice.num_seconds() + unit / 2) / unit;
    TimeDelta::seconds(units.max(1) * unit)
}

fn window_words(window: &Window<'_>) -> String {
    let finding = window.finding;
    let (is_estimated, from) = (finding.is_opened_at_estimated, time(finding.opened_at));
    let severity = finding.severity.word();
    if let Some(closing) = &finding.closing {
        let from = beginning(is_estimated, &from);
        let (to, lasted) = (time(closing.at), lasted(finding, closing.at));
        return format!("{severity}: {from} to {to}, {lasted}");
    }
    let lasted = lasted(finding, window.known_until);
    let since = since(is_estimated, &from);
    if window.is_end_unknown {
        let until = time(window.known_until);
        return format!(
            "{severity}: {since}, open for {lasted} by {until}; nothing later is known"
        );
    }
    format!("{severity}: {since}, open for {lasted}")
}
