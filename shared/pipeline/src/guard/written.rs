//! Who wrote a resource last, and when: what a pipeline wrote is the pipeline's, and what was written just now
//! is left to settle. Azure tells; of the other clouds it is not read yet.

use super::{Arc, CallError, Check, Cloud, CloudName, Says, Sight, Timestamp, add, azure, pass, unreadable};

/// The last write of the resource, where the cloud tells.
pub(super) enum Last {
    /// When, and by whom, where that is known. Nothing, where there was none in the last two weeks.
    Told(Option<(Timestamp, Option<String>)>),
    /// The cloud is not asked.
    NotAsked,
    /// It cannot be read.
    Unread(CallError),
}

pub(super) async fn last(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Last {
    if sight.plan.at.cloud != CloudName::Azure {
        return Last::NotAsked;
    }
    match azure::last_change(sight, cloud).await {
        Ok(change) => Last::Told(change),
        Err(error) => Last::Unread(error),
    }
}

/// Whether what was written is somebody else's, or too fresh.
pub(super) fn ask(sight: &Sight<'_>, last: &Last) -> [Check; 2] {
    [writer(sight, last), settled(sight, last)]
}

fn writer(sight: &Sight<'_>, last: &Last) -> Check {
    let guard = "last-writer";
    if sight.settings.pipelines.is_empty() {
        return pass(guard, "no pipelines are named (`guards.pipelines`)");
    }
    match last {
        Last::Told(Some((at, Some(by)))) => {
            if sight.settings.pipelines.iter().any(|pipeline| pipeline.eq_ignore_ascii_case(by)) {
                return Check::new(
                    guard,
                    Says::No,
                    format!("the pipeline {by} wrote it last, at {at}: change it there"),
                );
            }
            pass(guard, format!("{by} wrote it last, at {at}"))
        }
        Last::Told(Some((at, None))) => Check::new(guard, Says::Ask, format!("nobody knows who wrote it at {at}")),
        // Resource Graph leaves out what may not be seen.
        Last::Told(None) => Check::new(guard, Says::Ask, "no change of the last two weeks is known, or may be seen"),
        Last::NotAsked => {
            let why = format!("who wrote last is not read from {} yet", sight.plan.at.cloud);
            Check::new(guard, Says::Ask, why)
        }
        Last::Unread(error) => unreadable(guard, "the last changes", error, sight.now),
    }
}

fn settled(sight: &Sight<'_>, last: &Last) -> Check {
    let guard = "last-write";
    match last {
        Last::Told(Some((at, _))) => match add(*at, sight.settings.settle) {
            until if until > sight.now => {
                Check::new(guard, Says::Wait { until }, format!("it was written at {at}, and may be written again"))
            }
            _ => pass(guard, format!("it was written at {at}")),
        },
        Last::Told(None) => pass(guard, "no change of the last two weeks is known"),
        Last::NotAsked => pass(guard, format!("when it was written is not read from {} yet", sight.plan.at.cloud)),
        Last::Unread(error) => unreadable(guard, "the last changes", error, sight.now),
    }
}
